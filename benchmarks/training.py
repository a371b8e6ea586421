"""The speed of training by params.yaml: `python benchmarks/training.py [--device cuda] [--steps 200]`.

Works without MLflow, DVC and the other tools, so on a bare GPU node too: PYTHONPATH=src python benchmarks/training.py.
Precisions and batch sizes are interleaved and repeated, so that other load affects all alike; the table shows medians.
"""

import statistics
import time
from typing import Annotated

import torch
import typer

from dcgan.config.devices import prepare_device, resolve
from dcgan.config.params_file import changed, load_params
from dcgan.config.schema import GanConfig, Precision
from dcgan.config.workspace import PARAMS
from dcgan.gan.graph import fastest_step
from dcgan.gan.inputs import Inputs
from dcgan.gan.state import build_state
from dcgan.gan.step import due_at
from dcgan.gan.window import synchronize
from dcgan.system.exit import run_stage

WARM_UP_STEPS = 10
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def main(
    device: Annotated[str, typer.Option(help="cpu, cuda or auto")] = "auto",
    steps: Annotated[int, typer.Option(min=1, help="steps timed in each repetition")] = 50,
    repetitions: Annotated[int, typer.Option(min=1)] = 3,
    batch_sizes: Annotated[list[int] | None, typer.Option("--batch-size", min=2)] = None,
) -> None:
    """Print a table of milliseconds a step and images per second."""
    params = changed(load_params(PARAMS), {"train.device": device})
    chosen = prepare_device(params.train)
    sizes = batch_sizes or [params.train.batch_size]
    variants = [(size, precision) for size in sizes for precision in PRECISIONS]
    timings: dict[tuple[int, Precision], list[float]] = {variant: [] for variant in variants}
    for _ in range(repetitions):
        for size, precision in variants:
            config = resolve(changed(params.gan, {"train.batch_size": size, "train.precision": precision}), chosen)
            timings[size, precision].append(seconds_per_step(config, device=chosen, steps=steps))
    name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {name}; median of {repetitions} x {steps} steps\n")
    print("| batch | precision | ms per step | images/s |\n|---|---|---|---|")
    for (size, precision), seconds in timings.items():
        median = statistics.median(seconds)
        print(f"| {size} | {precision} | {1000 * median:.2f} | {size / median:,.0f} |")


def seconds_per_step(config: GanConfig, *, device: torch.device, steps: int) -> float:
    """The mean time of a step, on noise in place of images."""
    state, step = build_state(config, device=device), fastest_step(config)
    inputs = Inputs.of_noise(config, device=device, end=WARM_UP_STEPS + steps)
    for number in range(WARM_UP_STEPS + steps):
        if number == WARM_UP_STEPS:
            synchronize(device)
            started = time.perf_counter()
        step(state, inputs(number), config, due=due_at(number, config))
    synchronize(device)
    return (time.perf_counter() - started) / steps


if __name__ == "__main__":
    run_stage(main)
