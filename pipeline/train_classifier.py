"""Stage `train_classifier`: the digit classifier that judges samples, from the validated data set alone."""

from pathlib import Path

from dcgan.checkpoints.fingerprint import fingerprint_of
from dcgan.checkpoints.folder import CheckpointFolder
from dcgan.checkpoints.weights import save_weights
from dcgan.classifier.network import compute_accuracy
from dcgan.classifier.training import build_classifier_state, train_classifier
from dcgan.config.devices import prepare_device
from dcgan.config.params_file import load_params
from dcgan.data.dataset_file import load_dataset
from dcgan.system.exit import run_stage
from dcgan.system.files import require_writable
from dcgan.system.run_lock import exclusive
from dcgan.system.signals import stop_on_signals
from dcgan.tracking.progress import ProgressBar

ROOMS = ("config", "data", "classifier")
DATASET, CHECKPOINTS, MODELS = Path("data/dataset.safetensors"), Path(".checkpoints"), Path("models")


def main() -> None:
    """Train the digit classifier and write models/classifier.safetensors; an interrupted training is resumed."""
    params = load_params(Path("params.yaml"))
    config, device = params.classifier, prepare_device(params.train)
    dataset = load_dataset(DATASET, report_path=Path("reports/validation.json"))
    require_writable(MODELS, CHECKPOINTS)
    with exclusive(CHECKPOINTS / "lock"), stop_on_signals() as stop:
        fingerprint = fingerprint_of("train_classifier", config, [DATASET], rooms=ROOMS, device=device)
        folder = CheckpointFolder(CHECKPOINTS, fingerprint)
        state = folder.restore(build_classifier_state(dataset.train, config, device=device))
        with ProgressBar("train_classifier", start=state.step) as bar:
            classifier = train_classifier(
                state, dataset.train, config, on_step=bar.advance_to, on_checkpoint=folder.save, stop_requested=stop
            )
        stop.raise_if_made(f"train_classifier: stopped and saved after step {state.step}; run it again to go on")
        accuracy = compute_accuracy(classifier, dataset.test, device=device)
        save_weights(MODELS, classifier=classifier)
        folder.remove()
    print(f"models/classifier.safetensors: reads {accuracy:.2%} of {len(dataset.test)} test images as labelled")


if __name__ == "__main__":
    run_stage(main)
