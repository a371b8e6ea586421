"""Stage `train_classifier`: the digit classifier, from the validated data set."""

if __name__ == "__main__":
    import dcgan.system.start  # noqa: F401 it has an effect

import dataclasses

from dcgan.checkpoints.fingerprint import fingerprint_of
from dcgan.checkpoints.folder import CheckpointFolder, threads_of_unfinished
from dcgan.checkpoints.weights import save_weights
from dcgan.classifier.network import ClassifierName, compute_accuracy
from dcgan.classifier.training import build_classifier_state, train_classifier
from dcgan.config import workspace
from dcgan.config.devices import prepare_device, resolve
from dcgan.config.params_file import load_params
from dcgan.data.dataset_file import load_dataset
from dcgan.system.exit import run_stage
from dcgan.system.files import require_writable
from dcgan.system.locks import exclusive
from dcgan.system.signals import stop_on_signals
from dcgan.tracking.progress import ProgressBar

ROOMS = ("config", "data", "classifier")


def train_network(name: ClassifierName) -> None:
    """Train a digit classifier, or resume its training, and write models/<name>.safetensors; each has its own seed."""
    params, stage = load_params(workspace.PARAMS), f"train_{name}"
    threads = threads_of_unfinished(workspace.CHECKPOINTS, stage=stage)
    device = prepare_device(params.train, threads=threads)
    resolve(params.gan, device)  # refuses what the training of the GAN would, before this one
    seed = params.classifier.seed if name == "classifier" else params.classifier.seed ^ 1
    config = dataclasses.replace(params.classifier, seed=seed)
    dataset = load_dataset(model=params.model)
    require_writable(workspace.MODELS, workspace.CHECKPOINTS)
    with exclusive(workspace.LOCK), stop_on_signals() as stop:
        fingerprint = fingerprint_of(stage, config, [workspace.DATASET], rooms=ROOMS, device=device)
        folder = CheckpointFolder(workspace.CHECKPOINTS, fingerprint)
        untrained = build_classifier_state(config, device=device, name=name, num_classes=dataset.num_classes)
        state = folder.restore(untrained)
        with ProgressBar(stage, start=state.step) as bar:
            classifier = train_classifier(
                state, dataset.train, config, on_step=bar.advance_to, on_checkpoint=folder.save, stop_requested=stop
            )
        stop.raise_if_made(f"{stage}: stopped and saved after step {state.step}; run it again to go on")
        accuracy = compute_accuracy(classifier, dataset.test, device=device)
        save_weights(workspace.MODELS, metadata=None, **{name: classifier})
        folder.remove()
    path = workspace.MODELS / f"{name}.safetensors"
    print(f"{path}: accuracy {accuracy:.2%} on {len(dataset.test):,} test images")


def main() -> None:
    """Train the classifier."""
    train_network("classifier")


if __name__ == "__main__":
    run_stage(main, sizes=("classifier.batch_size",))
