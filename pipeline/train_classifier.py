"""Stage `train_classifier`: the digit classifier that judges samples, from the validated data set alone."""

from pathlib import Path

from dcgan.adapters.dataset_file import load_dataset
from dcgan.adapters.params_file import load_params
from dcgan.adapters.progress import ProgressBar
from dcgan.adapters.weights import save_weights
from dcgan.core.classifier import compute_accuracy, train_classifier
from dcgan.core.devices import prepare_device
from dcgan.entry import run_stage


def train_judge() -> None:
    """Train the digit classifier and write models/classifier.safetensors."""
    params = load_params(Path("params.yaml"))
    device = prepare_device(params.train)
    dataset = load_dataset(Path("data/dataset.safetensors"), report_path=Path("reports/validation.json"))
    with ProgressBar("train_classifier") as bar:
        classifier = train_classifier(dataset.train, params.classifier, device=device, on_step=bar.advance_to)
    accuracy = compute_accuracy(classifier, dataset.test, device=device)
    save_weights(Path("models"), classifier=classifier)
    print(f"models/classifier.safetensors: reads {accuracy:.2%} of {len(dataset.test)} test images as labelled")


if __name__ == "__main__":
    run_stage(train_judge)
