"""How fast the exported generator draws: `python benchmarks/inference.py [--model models/generator.onnx]`.

Each row is the median of interleaved repetitions, through the library that production uses.
"""

import statistics
import time
from pathlib import Path
from typing import Annotated

import typer

from dcgan.inference import Generator

COUNTS = (1, 8, 64, 1000, 10_000)


def main(
    model: Annotated[Path, typer.Option(help="an exported generator")] = Path("models/generator.onnx"),
    repetitions: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Print a table of milliseconds a request and images per second."""
    generator = Generator.load(model)
    timings: dict[int, list[float]] = {count: [] for count in COUNTS}
    generator.sample(64)
    for seed in range(repetitions):
        for count in COUNTS:
            started = time.perf_counter()
            generator.sample(count, seed=seed)
            timings[count].append(time.perf_counter() - started)
    print(f"{model}; median of {repetitions}\n\n| images a request | ms | images/s |\n|---|---|---|")
    for count, seconds in timings.items():
        median = statistics.median(seconds)
        print(f"| {count:,} | {1000 * median:.2f} | {count / median:,.0f} |")


if __name__ == "__main__":
    typer.run(main)
