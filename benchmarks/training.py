"""The speed of training by params.yaml: `python benchmarks/training.py [--device cuda] [--steps 200]`.

Works without MLflow, DVC and the other tools, so on a bare GPU node too: PYTHONPATH=src python benchmarks/training.py.
What is compared is interleaved and repeated, so that other load affects all alike; the table shows medians.
"""

if __name__ == "__main__":
    import dcgan.system.start  # noqa: F401 it has an effect

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated

import torch
import typer
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, TensorDataset

from dcgan.config.devices import prepare_device, resolve
from dcgan.config.params_file import changed, load_params
from dcgan.config.schema import GanConfig
from dcgan.config.workspace import PARAMS
from dcgan.data.batches import to_images
from dcgan.gan.graph import fastest_step
from dcgan.gan.inputs import Inputs
from dcgan.gan.networks import build_discriminator, build_generator
from dcgan.gan.state import build_state
from dcgan.gan.step import due_at
from dcgan.gan.window import synchronize
from dcgan.system.exit import run_stage

WARM_UP_STEPS = 16
"""Every kind of step of the default comes twice in so many; on a GPU, more are made until all graphs are recorded."""
GRAPH_WARM_UP_STEPS = 64


def main(
    device: Annotated[str, typer.Option(help="cpu, cuda or auto")] = "auto",
    steps: Annotated[int, typer.Option(min=1, help="steps timed in each repetition")] = 48,
    repetitions: Annotated[int, typer.Option(min=1)] = 5,
    batch_sizes: Annotated[list[int] | None, typer.Option("--batch-size", min=2)] = None,
) -> None:
    """Print a table of milliseconds a step and images per second."""
    params = changed(load_params(PARAMS), {"train.device": device})
    chosen = prepare_device(params.train)
    print(f"torch {torch.__version__}, {name_of(chosen)}; median of {repetitions} x {steps} steps\n")
    print("| batch | loop | ms per step | images/s | times the plain loop |\n|---|---|---|---|---|", flush=True)
    for size in batch_sizes or [params.train.batch_size]:
        config = changed(params.gan, {"train.batch_size": size})
        found = compare(config, device=chosen, steps=steps, repetitions=repetitions)
        for loop, seconds in found.items():
            figures = f"{1000 * seconds:.2f} | {size / seconds:,.0f} | {found['plain'] / seconds:.2f}"
            print(f"| {size} | {loop} | {figures} |", flush=True)


def name_of(device: torch.device) -> str:
    """The graphics card, or how many threads of the CPU compute."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def compare(config: GanConfig, *, device: torch.device, steps: int, repetitions: int) -> dict[str, float]:
    """The median seconds of a step of every loop that `device` allows."""
    loops: dict[str, Callable[[], float]] = {"plain": lambda: plain_loop(config, device=device, steps=steps)}
    graphs = ("off", "on") if device.type == "cuda" else ("off",)
    for precision in ("fp32", "bf16"):
        for graph in graphs:
            changes = {"train.precision": precision, "train.cuda_graph": graph, "train.device": device.type}
            name = f"{precision}, graph" if graph == "on" else precision
            loops[name] = partial(
                seconds_per_step, resolve(changed(config, changes), device), device=device, steps=steps
            )
    timings: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(repetitions):
        for name, loop in loops.items():
            timings[name].append(loop())
    return {name: statistics.median(times) for name, times in timings.items()}


def seconds_per_step(config: GanConfig, *, device: torch.device, steps: int) -> float:
    """The mean time of a step of this project, on noise in place of images."""
    state, step = build_state(config, device=device), fastest_step(config)
    first = GRAPH_WARM_UP_STEPS if config.train.cuda_graph == "on" else WARM_UP_STEPS
    inputs = Inputs.of_noise(config, device=device, end=first + steps)
    for number in range(first + steps):
        if number == first:
            synchronize(device)
            started = time.perf_counter()
        step(state, inputs(number), config, due=due_at(number, config))
    synchronize(device)
    return (time.perf_counter() - started) / steps


def plain_loop(config: GanConfig, *, device: torch.device, steps: int) -> float:
    """The mean time of a step of the loop that tutorials have, with the same networks and no penalty or average.

    A DataLoader, float32, a `.item()` for each loss, PyTorch's default Adam.
    """
    model, train, size = config.model, config.train, config.train.batch_size
    generator, discriminator = (build(model).to(device) for build in (build_generator, build_discriminator))
    optimizers = [
        torch.optim.Adam(network.parameters(), rate, betas=(train.beta1, train.beta2))
        for network, rate in (
            (generator, train.generator_learning_rate),
            (discriminator, train.discriminator_learning_rate),
        )
    ]
    total = WARM_UP_STEPS + steps
    images = to_images(torch.randint(0, 256, (total * size, 28, 28), dtype=torch.uint8))
    loader = DataLoader(TensorDataset(images, torch.arange(total * size) % 10), batch_size=size, shuffle=True)
    ones, zeros = torch.ones(size, device=device), torch.zeros(size, device=device)
    for number, batch in enumerate(loader):
        if number == WARM_UP_STEPS:
            synchronize(device)
            started = time.perf_counter()
        real, labels = (each.to(device) for each in batch)
        fake = generator(torch.randn(size, model.latent_dim, device=device), labels)

        discriminator.zero_grad()
        loss = binary_cross_entropy_with_logits(discriminator(real, labels).logits, ones)
        loss = loss + binary_cross_entropy_with_logits(discriminator(fake.detach(), labels).logits, zeros)
        torch.autograd.backward(loss)
        optimizers[1].step()
        loss.item()

        generator.zero_grad()
        loss = binary_cross_entropy_with_logits(discriminator(fake, labels).logits, ones)
        torch.autograd.backward(loss)
        optimizers[0].step()
        loss.item()
    synchronize(device)
    return (time.perf_counter() - started) / steps


if __name__ == "__main__":
    run_stage(main)
