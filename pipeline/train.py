"""Stage `train`: the GAN, on the validated data set; an interrupted training goes on from its newest checkpoint."""

if __name__ == "__main__":
    import dcgan.system.start  # noqa: F401 it has an effect

from dcgan.checkpoints.fingerprint import fingerprint_of
from dcgan.checkpoints.folder import threads_of_unfinished
from dcgan.checkpoints.weights import save_weights
from dcgan.classifier.network import load_classifier
from dcgan.classifier.quick_fcd import QuickFcd
from dcgan.config import workspace
from dcgan.config.devices import prepare_device, resolve
from dcgan.config.params_file import load_params
from dcgan.data.batches import Batches
from dcgan.data.dataset_file import load_dataset
from dcgan.gan.parallel import SharedCheckpoints, process_group, rank
from dcgan.gan.recovery import train_with_rollbacks
from dcgan.gan.training import total_steps
from dcgan.gan.warm_start import build_start
from dcgan.system.exit import run_stage
from dcgan.system.files import require_writable
from dcgan.system.locks import exclusive
from dcgan.system.signals import stop_on_signals
from dcgan.tracking.live import track_training
from dcgan.tracking.provenance import note_weights

ROOMS = ("config", "data", "classifier", "gan")


def main() -> None:
    """Train the GAN of params.yaml on data/dataset.safetensors; write its weights and the training's reports."""
    params = load_params(workspace.PARAMS)
    device = prepare_device(params.train, threads=threads_of_unfinished(workspace.CHECKPOINTS, stage="train"))
    config, data = resolve(params.gan, device), load_dataset(model=params.model)
    evaluate = QuickFcd(load_classifier(workspace.CLASSIFIER, device=device, num_classes=data.num_classes), data.train)
    batches = Batches(data.train, batch_size=config.train.batch_size, seed=config.train.seed, device=device)
    end = total_steps(config.train, steps_per_epoch=batches.steps_per_epoch)
    require_writable(workspace.MODELS, workspace.REPORTS, workspace.CHECKPOINTS)
    with process_group(device, exclusive(workspace.LOCK), batch_size=batches.batch_size), stop_on_signals() as stop:
        key = fingerprint_of("train", config, workspace.training_inputs(config.train), rooms=ROOMS, device=device)
        folder = SharedCheckpoints(workspace.CHECKPOINTS, key)
        state = folder.restore(build_start(config, device=device))
        with track_training(folder.path, params=params, config=config, step=state.step, end=end) as tracker:
            state = train_with_rollbacks(
                state, batches, config, checkpoints=folder, tracker=tracker, evaluate=evaluate, stop_requested=stop
            )
            stop.raise_if_made(f"train: stopped and saved after step {state.step} of {end}; run it again to go on")
            if rank() > 0:  # the first process writes the results
                return
            folder.choose(state, config.train.keep)
            collapse = state.monitor.collapse(step=state.step, steps_per_epoch=batches.steps_per_epoch)
            networks = {"generator": state.generator_ema, "discriminator": state.discriminator}
            save_weights(workspace.MODELS, metadata={"collapse": collapse} if collapse else {}, **networks)
            note_weights(folder.path)
        folder.remove()
    print(f"{workspace.GENERATOR}: of step {state.step:,}; {workspace.SAMPLES} shows its samples during training")


if __name__ == "__main__":
    run_stage(main, sizes=("train.batch_size", "model.latent_dim", "model.*_channels"))
