"""`dcgan evaluate`: the stage `evaluate` for any ONNX generator that keeps the project's contract."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from dcgan.classifier.network import load_classifier
from dcgan.commands.model_source import ModelOption, default_model
from dcgan.config import workspace
from dcgan.config.devices import prepare_device
from dcgan.config.params_file import load_params
from dcgan.data.dataset_file import load_dataset
from dcgan.evaluation.quality import measure_quality
from dcgan.evaluation.report import summary_line
from dcgan.evaluation.samples import Sampler
from dcgan.inference.generator import Generator
from dcgan.system.errors import BadDataError, CannotCreateError
from dcgan.system.files import require_writable, sha256_of, write_json
from dcgan.system.progress import heartbeat


@heartbeat("evaluate")
def evaluate_model(
    *,
    model_path: ModelOption = None,
    classifier_path: Annotated[
        Path, typer.Option("--classifier", metavar="FILE", help="The classifier, of the stage train_classifier.")
    ] = workspace.CLASSIFIER,
    witness_path: Annotated[
        Path, typer.Option("--witness", metavar="FILE", help="The second classifier, of the stage train_witness.")
    ] = workspace.WITNESS,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Also write all figures, as JSON.")] = None,
) -> None:
    """Measure an ONNX generator against real images, print the metrics, and with --out write all figures.

    The current folder is a workspace: params.yaml, the data set and its validation report are read from it.

    Raises:
        BadDataError: a file is missing or damaged, the model does not keep the contract, knows another number of
            digits, or outputs one image only.
        CannotCreateError: `out` cannot be written; found before the work.
        UsageError: params.yaml is not as it should be.
    """
    model_path = model_path or default_model()
    if out is not None:
        if out.is_dir():
            raise CannotCreateError(f"{out}: is a folder; name a file")
        require_writable(out.parent)
    params = load_params(workspace.PARAMS)
    device = prepare_device(params.train)
    generator = Generator.load(model_path)
    dataset = load_dataset()
    known = dataset.num_classes
    quality = measure_quality(
        sampler_from(generator, num_classes=known),
        dataset,
        params.evaluate,
        classifier=load_classifier(classifier_path, device=device, num_classes=known),
        witness=load_classifier(witness_path, device=device, name="witness", num_classes=known),
        classifier_config=params.classifier,
    )
    origin = {"model": str(model_path), "model_sha256": generator.info.sha256}
    networks = {"classifier_sha256": sha256_of(classifier_path), "witness_sha256": sha256_of(witness_path)}
    report = origin | networks | quality.report
    if out is not None:
        write_json(out, report)
    print(f"{model_path}: {summary_line(report)}")
    print_metrics(report)


def sampler_from(generator: Generator, *, num_classes: int) -> Sampler:
    """A loaded ONNX generator as a sampler for data of so many classes.

    Raises:
        BadDataError: it is conditional on another number of digits.
    """
    contract = generator.info.contract
    if contract.num_classes not in (0, num_classes):
        raise BadDataError(
            f"{generator.info.path}: has {contract.num_classes} classes, the classifier knows {num_classes}"
        )

    def sample(latents: Tensor, labels: Tensor | None) -> Tensor:
        return torch.from_numpy(generator.draw(latents.numpy(), None if labels is None else labels.numpy()))

    return Sampler(
        name=str(generator.info.path),
        latent_dim=contract.latent_dim,
        latent_distribution=contract.latent_distribution,
        conditional=contract.num_classes > 0,
        sample=sample,
        num_classes=num_classes,
    )


def print_metrics(report: Mapping[str, Any]) -> None:
    """A table of every metric that has a floor."""
    print(f"{'metric':<20}{'samples':>10}{'real images':>13}{'spread':>9}")
    for name, value in report.items():
        floor, spread = report.get(f"{name}_floor"), report.get(f"{name}_spread")
        if isinstance(value, float) and isinstance(floor, float):
            print(f"{name:<20}{value:>10.4f}{floor:>13.4f}{'' if spread is None else f'{spread:.4f}':>9}")
