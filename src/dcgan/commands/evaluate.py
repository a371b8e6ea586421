"""`dcgan evaluate`: any generator.onnx of the project's contract before the judge, without its training run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import torch
import typer
from torch import Tensor

from dcgan.classifier.network import load_classifier
from dcgan.commands.model_source import ModelOption, default_model
from dcgan.config.devices import prepare_device
from dcgan.config.params_file import load_params
from dcgan.config.schema import NUM_CLASSES
from dcgan.config.workspace import CLASSIFIER
from dcgan.data.dataset_file import load_dataset
from dcgan.evaluation.inception import load_inception, measure_fid
from dcgan.evaluation.quality import measure_quality
from dcgan.evaluation.report import describe, headline
from dcgan.evaluation.samples import Sampler
from dcgan.inference.generator import Generator
from dcgan.system.errors import BadDataError
from dcgan.system.files import encode_json, sha256_of, write_atomically


def evaluate_model(
    *,
    model_path: ModelOption = None,
    classifier_path: Annotated[
        Path, typer.Option("--classifier", metavar="FILE", help="The classifier, of the stage train_classifier.")
    ] = CLASSIFIER,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Also write all figures, as JSON.")] = None,
) -> None:
    """Evaluator an ONNX generator as the stage `evaluate` judges ours, print its figures, and write them to `out`.

    The current folder is a workspace: params.yaml, data/dataset.safetensors and its report are read from it.

    Raises:
        BadDataError: a file is missing or damaged, the model does not keep the contract, knows another number of
            digits, or draws one image only.
        UsageError: params.yaml is not as it should be.
    """
    report: dict[str, Any] = {}
    model_path = model_path or default_model()

    def judge_into(file: BinaryIO) -> None:
        report.update(judge_model(model_path, classifier_path))
        file.write(encode_json(report))

    if out is None:
        report.update(judge_model(model_path, classifier_path))
    else:
        write_atomically(out, judge_into)  # tries the output's folder before the work, not after it
    print(f"{model_path}: {headline(report)}")
    print_figures(report)


def judge_model(model_path: Path, classifier_path: Path) -> dict[str, Any]:
    """The report of an ONNX generator, with the hash of the file that was judged."""
    params = load_params(Path("params.yaml"))
    device, weights = prepare_device(params.train), params.evaluate.inception_weights
    generator = Generator.load(model_path)
    source = sampler_from(generator)
    dataset = load_dataset(Path("data/dataset.safetensors"), report_path=Path("reports/validation.json"))
    classifier = load_classifier(classifier_path, device=device)
    inception = load_inception(Path(weights), device=device) if weights else None
    quality = measure_quality(source, classifier, dataset, params.evaluate, classifier_config=params.classifier)
    fid = measure_fid(inception, quality, dataset)
    report = describe(quality, dataset, params.evaluate, classifier_sha256=sha256_of(classifier_path), fid=fid)
    return {"model": str(model_path), "model_sha256": generator.info.sha256} | report


def sampler_from(generator: Generator) -> Sampler:
    """A loaded ONNX generator as a source of samples.

    Raises:
        BadDataError: it is conditional on another number of digits.
    """
    contract = generator.info.contract
    if contract.num_classes not in (0, NUM_CLASSES):
        raise BadDataError(
            f"{generator.info.path}: draws {contract.num_classes} classes, the judge knows {NUM_CLASSES}"
        )

    def draw(latents: Tensor, labels: Tensor | None) -> Tensor:
        return torch.from_numpy(generator.draw(latents.numpy(), None if labels is None else labels.numpy()))

    return Sampler(
        name=str(generator.info.path),
        latent_dim=contract.latent_dim,
        latent_distribution=contract.latent_distribution,
        conditional=contract.num_classes > 0,
        draw=draw,
    )


def print_figures(report: Mapping[str, Any]) -> None:
    """A table of every figure that has a floor."""
    print(f"{'figure':<18}{'samples':>10}{'real images':>13}{'spread':>9}")
    for name, value in report.items():
        floor, spread = report.get(f"{name}_floor"), report.get(f"{name}_spread")
        if isinstance(value, float) and isinstance(floor, float):
            print(f"{name:<18}{value:>10.4f}{floor:>13.4f}{'' if spread is None else f'{spread:.4f}':>9}")
