"""How fast exported generators draw: `python benchmarks/inference.py [--model FILE …] [--threads N …]`.

Each row is the median of repetitions, through the library that production uses; models and threads are interleaved, so
that other load affects all alike.
"""

import statistics
import time
from itertools import product
from pathlib import Path
from typing import Annotated

import typer

from dcgan.inference import Generator
from dcgan.system.cores import default_threads

COUNTS = (1, 8, 64, 1000, 10_000)
MIN_SECONDS = 0.2
"""A repetition draws as often as takes about so long."""
Row = tuple[Path, int, int]
"""A model, its threads and the images of a request."""


def main(
    model: Annotated[list[Path] | None, typer.Option(help="an exported generator; repeat to compare")] = None,
    threads: Annotated[list[int] | None, typer.Option(help="repeat to compare; all free ones if left out")] = None,
    repetitions: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Print a table of milliseconds a request and images per second."""
    models, numbers = model or [Path("models/generator.onnx")], threads or [default_threads()]
    generators = {pair: Generator.load(pair[0], providers="cpu", threads=pair[1]) for pair in product(models, numbers)}
    rows: dict[Row, list[float]] = {(*pair, count): [] for count in COUNTS for pair in generators}
    calls = {row: _calls(generators[row[:2]], row[2]) for row in rows}
    for _ in range(repetitions):
        for row, seconds in rows.items():
            seconds.append(_seconds(generators[row[:2]], row[2], calls[row]))
    print(f"median of {repetitions}\n\n| model | threads | images a request | ms | images/s |\n|---|---|---|---|---|")
    for (path, number, count), seconds in rows.items():
        median = statistics.median(seconds)
        print(f"| {path} | {number} | {count:,} | {1000 * median:.2f} | {count / median:,.0f} |")


def _calls(generator: Generator, count: int) -> int:
    """Calls that take about MIN_SECONDS; warms the generator up."""
    _seconds(generator, count, 1)
    return max(1, round(MIN_SECONDS / _seconds(generator, count, 3)))


def _seconds(generator: Generator, count: int, calls: int) -> float:
    """Of one call, the mean of several."""
    started = time.perf_counter()
    for seed in range(calls):
        generator.sample(count, seed=seed)
    return (time.perf_counter() - started) / calls


if __name__ == "__main__":
    typer.run(main)
