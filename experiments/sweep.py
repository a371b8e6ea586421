"""Sweeps: variants of the shipped configuration, trained and evaluated alike; each becomes a row of a CSV table.

A sweep is described by a YAML file: `variants`, each with the `params` in which it differs, after `base`, in which all
differ, for each of `seeds`, the sweep's or its own. `two_sample: false` leaves out the two-sample test, which takes as
long as a short training. Data set and classifiers are those of the workspace in the current folder.
"""

import csv
import math
import signal
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import yaml

from dcgan.classifier.network import ClassifierName, load_classifier
from dcgan.config.devices import prepare_device, resolve
from dcgan.config.params_file import changed, params_sha256
from dcgan.config.schema import EvaluateConfig, Params
from dcgan.config.workspace import CLASSIFIER, DATASET, PARAMS, WITNESS
from dcgan.data.batches import Batches
from dcgan.data.dataset import Dataset
from dcgan.data.dataset_file import load_dataset
from dcgan.evaluation.evaluator import Evaluator, Scores
from dcgan.evaluation.metrics.pixels import pixel_statistics
from dcgan.evaluation.samples import Sampler, Samples, generate_samples, sampler_of
from dcgan.evaluation.two_sample import compare_samples
from dcgan.evaluation.witness import Witness
from dcgan.figures.drawing import save_grid
from dcgan.gan.graph import fastest_step
from dcgan.gan.inputs import Inputs
from dcgan.gan.sampling import image_grid
from dcgan.gan.state import build_state
from dcgan.gan.step import due_at
from dcgan.gan.tracker import TeeTracker
from dcgan.gan.training import train
from dcgan.gan.warm_start import build_start
from dcgan.system.cores import usable_cores
from dcgan.system.errors import BadDataError, DivergedError, UsageError
from dcgan.system.files import sha256_of

FIGURES = ("fcd", "precision", "recall", "coverage", "label_accuracy")
COLUMNS = (
    "variant", "seed", "epochs", "images_seen", "train_minutes", "images_per_second", "num_samples", "fcd_over_floor",
    *(name for figure in FIGURES for name in (figure, f"{figure}_floor")), "witness_fcd_over_floor",
    "two_sample_accuracy", "two_sample_auc", "haze", "longest_side_20", "center_spread", "threads", "params",
    "classifier", "witness",
)  # fmt: skip
"""Of every table of results; `images_per_second` is measured while nothing else runs, `train_minutes` is not."""
CLASSIFIERS: Mapping[ClassifierName, Path] = {"classifier": CLASSIFIER, "witness": WITNESS}
SPEED_BLOCKS = 7
GRID_COLUMNS, GRID_ROWS = 10, 4
"""Of a variant's picture; of a conditional one, a digit a column."""

Sweep = Mapping[str, Any]
"""The content of a sweep's YAML file."""
Row = dict[str, Any]
"""A row of the table of results."""


def load_sweep(path: Path, names: Sequence[str] | None) -> Sweep:
    """The sweep in a YAML file.

    Raises:
        UsageError: it has no variant of one of the `names`.
    """
    sweep: Sweep = yaml.safe_load(path.read_text())
    if unknown := set(names or ()) - sweep["variants"].keys():
        raise UsageError(f"unknown variant {unknown.pop()}; choose from {', '.join(sweep['variants'])}")
    return sweep


def seeds_of(sweep: Sweep, name: str) -> Sequence[int]:
    """The seeds of a variant."""
    seeds: Sequence[int] = sweep["variants"][name].get("seeds", sweep["seeds"])
    return seeds


def params_of(sweep: Sweep, name: str, *, seed: int) -> Params:
    """The parameters of a variant."""
    return changed(Params(), sweep["base"] | sweep["variants"][name].get("params", {}) | {"train.seed": seed})


def run_sweep(sweep: Sweep, names: Iterable[str] | None, results: Path, *, pictures: Path | None = None) -> None:
    """Train and evaluate the variants of those `names` (None: all) that a table lacks; each is added once it ends.

    A row of other parameters or of other classifiers does not count. The folder `pictures` gets some samples of each.

    Raises:
        UsageError: the workspace has another data set than the sweep.
        BadDataError: the workspace has no data set or lacks a classifier.
    """
    runs = [
        (name, params_of(sweep, name, seed=seed))
        for name in names or sweep["variants"]
        for seed in seeds_of(sweep, name)
    ]
    check_workspace(runs[0][1])
    missing = [(name, params) for name, params in runs if find_row(name, params, results) is None]
    print(f"{len(missing)} of {len(runs)} trainings are missing; each tells its result", flush=True)
    speeds = {name: measure_speed(params) for name, params in missing}
    for row in train_side_by_side(missing, pictures, two_sample=sweep.get("two_sample", True)):
        append(row | {"images_per_second": speeds[row["variant"]]}, results)
        outcome = row.get("failure") or f"fcd is {row['fcd_over_floor']} times its floor"
        print(f"{row['variant']}: {outcome}", flush=True)


def check_workspace(params: Params) -> None:
    """Raise BadDataError or UsageError unless the current folder has both classifiers and the data set of `params`."""
    if not PARAMS.is_file():
        raise UsageError(f"{PARAMS}: missing in {Path.cwd()}; run from the folder that holds it")
    dataset = load_dataset()
    for name, path in CLASSIFIERS.items():
        load_classifier(path, device=torch.device("cpu"), name=name, num_classes=dataset.num_classes)
    if dataset.name != params.data.name:
        raise UsageError(f"{DATASET}: holds {dataset.name}, and the sweep is for {params.data.name}")


def train_side_by_side(runs: Iterable[tuple[str, Params]], pictures: Path | None, *, two_sample: bool) -> Iterator[Row]:
    """Train variants in as many processes as there are cores; their rows, in the order in which they end."""
    with ProcessPoolExecutor(
        usable_cores(), get_context("spawn"), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_DFL)
    ) as pool:
        running = {
            pool.submit(train_variant, params, pictures and pictures / f"{name}.png", two_sample): (name, params)
            for name, params in runs
        }
        try:
            for done in as_completed(running):
                yield key_of(*running[done]) | done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def train_variant(params: Params, picture: Path | None, two_sample: bool) -> Row:
    """Train one variant, evaluate its samples of the first sampling seed, and draw some; only a cause if it fails."""
    assert params.train.keep == "last", "a sweep saves no checkpoints to choose from"
    device = prepare_device(params.train)
    dataset, evaluator, _ = load_reference(params.evaluate, device)
    config = resolve(params.gan, device)
    state = build_start(config, device=device)
    batches = Batches(dataset.train, batch_size=config.train.batch_size, seed=config.train.seed, device=device)
    started = time.monotonic()
    try:
        train(state, batches, config, tracker=TeeTracker(), on_checkpoint=lambda _state: None)
        seconds = time.monotonic() - started
        sampler = sampler_of(state.generator_ema, params.model)
        samples = generate_samples(sampler, count=params.evaluate.num_samples, seed=params.evaluate.seed)
        scores = evaluator.score(samples, evaluator.predict(samples.pixels))
    except (DivergedError, BadDataError) as error:
        return {"failure": str(error)}
    if picture:
        save_grid(picture, image_grid(samples.pixels[: GRID_COLUMNS * GRID_ROWS], columns=GRID_COLUMNS))
    return {
        "epochs": params.train.epochs,
        "images_seen": state.step * batches.batch_size,
        "train_minutes": round(seconds / 60, 1),
        "num_samples": len(samples),
        "threads": torch.get_num_threads(),
        **figures_of(scores, evaluator.floor),
        **other_figures(params.evaluate, samples, device),
        **(two_sample_figures(params.evaluate, sampler, samples, device) if two_sample else {}),
    }


@cache
def load_reference(config: EvaluateConfig, device: torch.device) -> tuple[Dataset, Evaluator, Witness]:
    """The workspace's data set, the evaluator by its classifier, and the witness, made once in each process."""
    dataset = load_dataset()
    classifier, witness = (
        load_classifier(path, device=device, name=name, num_classes=dataset.num_classes)
        for name, path in CLASSIFIERS.items()
    )
    evaluator = Evaluator(classifier, dataset, num_samples=config.num_samples, seed=config.seed)
    return dataset, evaluator, Witness(witness, dataset, chosen=evaluator.chosen)


def other_figures(config: EvaluateConfig, samples: Samples, device: torch.device) -> dict[str, float]:
    """What the witness and the pixels say of the samples."""
    _, _, witness = load_reference(config, device)
    measured = witness.scores(samples.pixels) | pixel_statistics(samples.pixels)
    return {name: round(value, 4) for name, value in measured.items() if math.isfinite(value)}


def two_sample_figures(
    config: EvaluateConfig, sampler: Sampler, samples: Samples, device: torch.device
) -> dict[str, float]:
    """How well a fresh network tells the samples from test images."""
    test = compare_samples(sampler, samples, load_reference(config, device)[0], config, device=device)
    return {"two_sample_accuracy": round(test.accuracy, 4), "two_sample_auc": round(test.auc, 4)}


def measure_speed(params: Params) -> int:
    """Images a second of training on noise: the median of blocks with every kind of step equally often in them."""
    device = prepare_device(params.train)
    config = resolve(params.gan, device)
    size, block = config.train.batch_size, math.lcm(config.penalties.every, config.train.discriminator_steps)
    state, step = build_state(config, device=device), fastest_step(config)
    inputs = Inputs.of_noise(config, device=device, end=block)
    seconds = []
    for _ in range(SPEED_BLOCKS + 1):
        started = time.perf_counter()
        for number in range(block):
            measured = step(state, inputs(number), config, due=due_at(number, config))
        measured["discriminator/loss"].item()  # waits for the device
        seconds.append(time.perf_counter() - started)
    return round(block * size / statistics.median(seconds[1:]))


def figures_of(scores: Scores, floor: Scores) -> Row:
    """Every figure beside its floor, the same figure of real training images."""
    row: Row = {"fcd_over_floor": round(scores.fcd / floor.fcd, 2)}
    for name in FIGURES:
        for column, value in ((name, getattr(scores, name)), (f"{name}_floor", getattr(floor, name))):
            row[column] = None if value is None else round(value, 4)
    return row


def key_of(name: str, params: Params) -> Row:
    """What identifies a row: the variant, its seed, and the digests of its parameters and of both classifiers."""
    digests = {name: sha256_of(path)[:8] for name, path in CLASSIFIERS.items()} | {"params": params_sha256(params)[:8]}
    return {"variant": name, "seed": str(params.train.seed), **digests}


def find_row(name: str, params: Params, results: Path) -> Row | None:
    """The row of a variant in a table; None if the table lacks it."""
    key = key_of(name, params)
    return next((row for row in read_rows(results) if key.items() <= row.items()), None)


def read_rows(results: Path) -> list[Row]:
    """All rows of a table; none if there is no such file."""
    if not results.exists():
        return []
    with results.open(newline="") as file:
        return list(csv.DictReader(file))


def append(row: Row, results: Path) -> None:
    """Add a row to a table; a missing figure is left empty."""
    is_new = not results.exists()
    with results.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n", extrasaction="ignore")
        if is_new:
            writer.writeheader()
        writer.writerow(row)
