"""Stage `train`: the GAN, on the validated data set; an interrupted training goes on from its newest checkpoint."""

from pathlib import Path

from dcgan.adapters.checkpoints import CheckpointFolder, recipe_of
from dcgan.adapters.dataset_file import load_dataset
from dcgan.adapters.figures.training import save_history
from dcgan.adapters.jsonl_tracker import JsonlTracker
from dcgan.adapters.params_file import load_params
from dcgan.adapters.progress import ProgressBar
from dcgan.adapters.run_lock import exclusive
from dcgan.adapters.stop_signals import stop_on_signals
from dcgan.adapters.weights import load_classifier, save_weights
from dcgan.core.batches import Batches
from dcgan.core.devices import prepare_device, resolve
from dcgan.core.quick_judge import QuickJudge
from dcgan.core.recovery import train_with_rollbacks
from dcgan.core.state import build_state
from dcgan.core.tracking import TeeTracker
from dcgan.core.training import total_steps
from dcgan.entry import run_stage
from dcgan.files import require_writable
from dcgan.tracked import open_training, track_training

CHECKPOINTS, MODELS, REPORTS = Path(".checkpoints"), Path("models"), Path("reports")
DATASET, CLASSIFIER = INPUTS = Path("data/dataset.safetensors"), MODELS / "classifier.safetensors"


def main() -> None:
    """Train the GAN of params.yaml on data/dataset.safetensors; write its weights and the training's reports."""
    params = load_params(Path("params.yaml"))
    device = prepare_device(params.train)
    config, data = resolve(params.gan, device), load_dataset(DATASET, report_path=REPORTS / "validation.json")
    judge = QuickJudge(load_classifier(CLASSIFIER, device=device), data.train, config.model)
    batches = Batches(data.train, batch_size=config.train.batch_size, seed=config.train.seed, device=device)
    end = total_steps(config.train, steps_per_epoch=batches.steps_per_epoch)
    require_writable(MODELS, REPORTS, CHECKPOINTS)
    with exclusive(CHECKPOINTS / "lock"), stop_on_signals() as stop:
        folder = CheckpointFolder(CHECKPOINTS, recipe_of("train", config, INPUTS, device=device))
        state = folder.restore(build_state(config, device=device))
        reference = folder.path / "run.json"
        run = open_training(reference, params=params, config=config, data=data, inputs=INPUTS, end=end)
        log = JsonlTracker(folder.path, resume_from_step=state.step, publish_to=REPORTS)
        with TeeTracker(log, run, ProgressBar("train", start=state.step, end=end)) as tracker:
            state = train_with_rollbacks(
                state, batches, config, checkpoints=folder, tracker=tracker, judge=judge, stop_requested=stop
            )
            stop.raise_if_made(f"train: stopped and saved after step {state.step} of {end}; run it again to go on")
            folder.choose(state, config.train.keep)
            save_weights(
                MODELS, remarks=state.remarks, generator=state.generator_ema, discriminator=state.discriminator
            )
            save_history(REPORTS / "plots", REPORTS / "history.jsonl")
            track_training(run)
        folder.remove()


if __name__ == "__main__":
    run_stage(main)
