"""One trial: train a variant of the recipe, draw samples, judge them; and the table that trials end up in."""

import csv
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from dcgan.classifier.network import load_classifier
from dcgan.classifier.quick_fcd import SEED as SAMPLING_SEED
from dcgan.classifier.quick_fcd import QuickFcd
from dcgan.config.devices import prepare_device, resolve
from dcgan.config.params_file import params_sha256
from dcgan.config.schema import Params
from dcgan.data.batches import Batches
from dcgan.data.dataset import Dataset
from dcgan.data.dataset_file import load_dataset
from dcgan.evaluation.evaluator import Evaluator, Scores
from dcgan.evaluation.samples import Samples, draw_samples, sampler_of
from dcgan.gan import training
from dcgan.gan.sampling import sample_from_seed
from dcgan.gan.state import build_state
from dcgan.gan.tracker import Tracker
from dcgan.gan.training import total_steps, train
from dcgan.system.files import sha256_of

CLASSIFIER = Path("models/classifier.safetensors")
FIGURES = ("fcd", "precision", "recall", "coverage", "label_accuracy")
FIGURE_COLUMNS = tuple(name for figure in FIGURES for name in (figure, f"{figure}_floor"))


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The workspace's data set, and its classifier having read it."""

    dataset: Dataset
    evaluator: Evaluator

    @classmethod
    def load(cls, params: Params) -> "Reference":
        """Read what `dvc repro validate train_classifier` leaves in the current folder."""
        dataset = load_dataset(Path("data/dataset.safetensors"), report_path=Path("reports/validation.json"))
        classifier = load_classifier(CLASSIFIER, device=prepare_device(params.train))
        evaluator = Evaluator(classifier, dataset, num_samples=params.evaluate.num_samples, seed=params.evaluate.seed)
        return cls(dataset=dataset, evaluator=evaluator)

    def quick_evaluation(self, params: Params) -> training.Evaluate:
        """What evaluates the samples of a training of `params` while it runs."""
        device = prepare_device(params.train)
        quick_fcd = QuickFcd(load_classifier(CLASSIFIER, device=device), self.dataset.train)
        count = quick_fcd.num_samples
        return lambda generator: quick_fcd(*sample_from_seed(generator, params.model, count=count, seed=SAMPLING_SEED))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of one variant."""

    seconds: float
    images_seen: int
    samples: Samples
    scores: Scores


def num_steps(params: Params, dataset: Dataset) -> int:
    """Steps that a training of `params` takes."""
    return total_steps(params.train, steps_per_epoch=len(dataset.train) // params.train.batch_size)


def run_trial(
    params: Params, reference: Reference, *, tracker: Tracker, evaluate: training.Evaluate | None = None
) -> Trial:
    """Train one variant and score its samples of the first sampling seed.

    Raises:
        DivergedError: as `train`.
    """
    assert params.train.keep == "last", "a trial keeps no checkpoints to choose from"
    dataset, device = reference.dataset, prepare_device(params.train)
    config = resolve(params.gan, device)
    state = build_state(config, device=device)
    batches = Batches(dataset.train, batch_size=config.train.batch_size, seed=config.train.seed, device=device)
    started = time.monotonic()
    train(state, batches, config, tracker=tracker, on_checkpoint=lambda _state: None, evaluate=evaluate)
    seconds = time.monotonic() - started
    source = sampler_of(state.generator_ema, params.model)
    samples = draw_samples(source, count=params.evaluate.num_samples, seed=params.evaluate.seed)
    return Trial(
        seconds=seconds,
        images_seen=state.step * batches.batch_size,
        samples=samples,
        scores=reference.evaluator.score(samples, reference.evaluator.read(samples.pixels)),
    )


def figures_of(trial: Trial, floor: Scores) -> dict[str, object]:
    """The row of a trial: every figure beside its floor."""
    row: dict[str, object] = {
        "num_samples": len(trial.samples),
        "fcd_over_floor": round(trial.scores.fcd / floor.fcd, 2),
        "threads": torch.get_num_threads(),
    }
    for figure in FIGURES:
        row |= {figure: _rounded(getattr(trial.scores, figure)), f"{figure}_floor": _rounded(getattr(floor, figure))}
    return row


def origin_of(name: str, params: Params) -> dict[str, str]:
    """What tells a row from all others: its name and seed, its recipe and its judge."""
    return {
        "row": name,
        "seed": str(params.train.seed),
        "recipe": params_sha256(params)[:8],
        "classifier": sha256_of(CLASSIFIER)[:8],
    }


def row_of(origin: Mapping[str, str], results: Path) -> dict[str, str] | None:
    """The row of that origin in a table of results; None if it is not on file."""
    if not results.exists():
        return None
    with results.open(newline="") as file:
        return next((row for row in csv.DictReader(file) if origin.items() <= row.items()), None)


def append(row: Mapping[str, object], results: Path, columns: tuple[str, ...]) -> None:
    """Add a row to a table of results."""
    is_new = not results.exists()
    with results.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
