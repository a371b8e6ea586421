"""Stage `train`: the GAN, on the validated data set; an interrupted training goes on from its newest checkpoint."""

from pathlib import Path

from dcgan.checkpoints.fingerprint import fingerprint_of
from dcgan.checkpoints.folder import CheckpointFolder
from dcgan.checkpoints.weights import save_weights
from dcgan.classifier.network import load_classifier
from dcgan.classifier.quick_fcd import SEED as SAMPLING_SEED
from dcgan.classifier.quick_fcd import QuickFcd
from dcgan.config.devices import prepare_device, resolve
from dcgan.config.params_file import load_params
from dcgan.data.batches import Batches
from dcgan.data.dataset_file import load_dataset
from dcgan.gan.recovery import train_with_rollbacks
from dcgan.gan.sampling import sample_from_seed
from dcgan.gan.state import build_state
from dcgan.gan.tracker import TeeTracker
from dcgan.gan.training import total_steps
from dcgan.system.exit import run_stage
from dcgan.system.files import require_writable
from dcgan.system.locks import exclusive
from dcgan.system.signals import stop_on_signals
from dcgan.tracking.jsonl import JsonlTracker
from dcgan.tracking.progress import ProgressBar
from dcgan.tracking.sync import open_training, track_training

CHECKPOINTS, MODELS, REPORTS = Path(".checkpoints"), Path("models"), Path("reports")
ROOMS = ("config", "data", "classifier", "gan")
DATASET, CLASSIFIER = INPUTS = Path("data/dataset.safetensors"), MODELS / "classifier.safetensors"


def main() -> None:
    """Train the GAN of params.yaml on data/dataset.safetensors; write its weights and the training's reports."""
    params = load_params(Path("params.yaml"))
    device = prepare_device(params.train)
    config, data = resolve(params.gan, device), load_dataset(DATASET, report_path=REPORTS / "validation.json")
    quick_fcd = QuickFcd(load_classifier(CLASSIFIER, device=device), data.train)
    count = quick_fcd.num_samples
    evaluate = lambda generator: quick_fcd(*sample_from_seed(generator, config.model, count=count, seed=SAMPLING_SEED))  # noqa: E731
    batches = Batches(data.train, batch_size=config.train.batch_size, seed=config.train.seed, device=device)
    end = total_steps(config.train, steps_per_epoch=batches.steps_per_epoch)
    require_writable(MODELS, REPORTS, CHECKPOINTS)
    with exclusive(CHECKPOINTS / "lock"), stop_on_signals() as stop:
        fingerprint = fingerprint_of("train", config, INPUTS, rooms=ROOMS, device=device)
        folder = CheckpointFolder(CHECKPOINTS, fingerprint)
        state = folder.restore(build_state(config, device=device))
        reference = folder.path / "run.json"
        run = open_training(reference, params=params, config=config, data=data, inputs=INPUTS, end=end)
        log = JsonlTracker(folder.path, resume_from_step=state.step, publish_to=REPORTS)
        with log, run, ProgressBar("train", start=state.step, end=end) as bar:
            tracker = TeeTracker(log, run, bar)
            state = train_with_rollbacks(
                state, batches, config, checkpoints=folder, tracker=tracker, evaluate=evaluate, stop_requested=stop
            )
            stop.raise_if_made(f"train: stopped and saved after step {state.step} of {end}; run it again to go on")
            folder.choose(state, config.train.keep)
            collapse = state.monitor.collapse(step=state.step, steps_per_epoch=batches.steps_per_epoch)
            metadata = {"collapse": collapse} if collapse else {}
            save_weights(MODELS, metadata=metadata, generator=state.generator_ema, discriminator=state.discriminator)
            track_training(run)
        folder.remove()


if __name__ == "__main__":
    run_stage(main)
