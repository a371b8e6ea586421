"""Correctness, speed and quality of a training on a GPU, a line a figure: see benchmarks/gpu.sh."""

if __name__ == "__main__":
    import dcgan.system.start  # noqa: F401 it has an effect

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
import yaml
from torch.utils.flop_counter import FlopCounterMode
from training import compare, name_of

from dcgan.checkpoints.folder import CheckpointFolder
from dcgan.config import workspace
from dcgan.config.devices import prepare_device, resolve
from dcgan.config.params_file import changed
from dcgan.config.schema import GanConfig, Params
from dcgan.data.dataset_file import save_dataset
from dcgan.data.files import read_arrays, write_digits
from dcgan.gan.graph import GraphedStep, Step
from dcgan.gan.inputs import Inputs
from dcgan.gan.losses import Measurements
from dcgan.gan.state import GanState, build_state
from dcgan.gan.step import due_at, gan_step
from dcgan.system.errors import UsageError
from dcgan.system.exit import run_stage
from dcgan.system.files import write_json

Figures = dict[str, Any]

STEPS = 64
"""Of the comparison of graphs with ordinary steps; among them are eight with the penalty."""
PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bf16 operations a second by NVIDIA's data sheets, by a part of the device's name."""
SCRIPTS = Path(__file__).parents[1] / "pipeline"


def main(
    device: Annotated[str, typer.Option(help="cuda or cpu")] = "cuda",
    data: Annotated[Path | None, typer.Option(help="folder of the MNIST files; without it, digits")] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file to write")] = None,
    *,
    quick: Annotated[bool, typer.Option("--quick", help="little of everything, to try the script")] = False,
) -> None:
    """Print a JSON object a line, and write all of them as one to `--out`."""
    few = {"evaluate.num_samples": 200, "evaluate.num_train_on_fake": 200, "evaluate.num_two_sample": 200}
    little = few | {"train.max_steps": 20, "classifier.epochs": 1, "evaluate.num_seeds": 1}
    changes = {"train.device": device, "data.name": "mnist" if data else "digits"}
    params = changed(Params(), changes | ({} if data else few) | (little if quick else {}))
    chosen, found = prepare_device(params.train), Figures()
    config = resolve(params.gan, chosen)
    sections = describe(chosen), check(config, chosen), measure_speeds(config, chosen, quick=quick), run(params, data)
    for figures in chain.from_iterable(sections):
        print(json.dumps(figures), flush=True)
        found |= figures
        if out:
            write_json(out, found)


def describe(device: torch.device) -> Iterator[Figures]:
    """What the figures were measured on."""
    cuda = torch.version.cuda if device.type == "cuda" else None
    yield {"device": name_of(device), "torch": torch.__version__, "cuda": cuda}


def check(config: GanConfig, device: torch.device) -> Iterator[Figures]:
    """Whether the device computes what the CPU does, graphs what ordinary steps do, and a resume what it left."""
    losses = [losses_of(config, each) for each in (device, torch.device("cpu"))]
    difference = max(abs(one - other) / abs(other) for one, other in zip(*losses, strict=True))
    yield {"largest_difference_of_20_losses_from_the_cpu": round(difference, 4)}
    straight = advanced(build_state(config, device=device), config, STEPS)
    if config.train.cuda_graph == "on":
        step = GraphedStep(on_failure=print)
        graphed = advanced(build_state(config, device=device), config, STEPS, step=step)
        yield {"graph_replays": step.replays, "graphs_equal_ordinary_steps": are_equal(graphed, straight)}
    with tempfile.TemporaryDirectory() as parent:
        folder = CheckpointFolder(Path(parent), {"stage": "train"})
        folder.save(advanced(build_state(config, device=device), config, STEPS // 2 + 3))
        with redirect_stdout(sys.stderr):
            restored = folder.restore(build_state(config, device=device))
    resumed = advanced(restored, config, STEPS)
    yield {"resumed_equals_straight": are_equal(resumed, straight)}


def losses_of(config: GanConfig, device: torch.device) -> list[float]:
    """Of 20 steps."""
    state = build_state(config, device=device)
    return [float(measured["discriminator/loss"]) for measured in take_steps(state, config, 20)]


def advanced(state: GanState, config: GanConfig, end: int, *, step: Step = gan_step) -> GanState:
    """The state after `end` steps."""
    for _ in take_steps(state, config, end, step=step):
        pass
    return state


def take_steps(state: GanState, config: GanConfig, end: int, *, step: Step = gan_step) -> Iterator[Measurements]:
    """What every step measures, from the state's to the one before `end`."""
    torch.manual_seed(0)
    inputs = Inputs.of_noise(config, device=state.device, end=STEPS)
    while state.step < end:
        yield step(state, inputs(state.step), config, due=due_at(state.step, config))
        state.step += 1


def are_equal(one: GanState, other: GanState) -> bool:
    """Whether two states are, bit for bit."""
    theirs = other.tensors()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.tensors().items())


def measure_speeds(config: GanConfig, device: torch.device, *, quick: bool) -> Iterator[Figures]:
    """Milliseconds a step of every loop, memory, and the share of the device's arithmetic that is used."""
    repetitions, steps, sizes = (1, 4, (64,)) if quick else (3, 200, (64, 128, 256, 512, 1024))
    for size in sizes:
        sized = changed(config, {"train.batch_size": size})
        seconds = compare(sized, device=device, steps=steps, repetitions=repetitions)
        yield {f"ms_a_step_of_{size}": {loop: round(1000 * each, 3) for loop, each in seconds.items()}}
        yield {f"share_of_peak_of_{size}": share_of_peak(sized, device, seconds=min(seconds.values()))}
    if device.type == "cuda":
        yield {"memory_mib": torch.cuda.max_memory_allocated(device) // 2**20}


def share_of_peak(config: GanConfig, device: torch.device, *, seconds: float) -> float | None:
    """The arithmetic of a step without penalty, by its time and the device's peak; None if that is not known."""
    peak = next((flops for part, flops in PEAK_FLOPS.items() if part in name_of(device)), None)
    if peak is None:
        return None
    state, inputs = build_state(config, device=device), Inputs.of_noise(config, device=device, end=STEPS)
    with FlopCounterMode(display=False) as counter:
        gan_step(state, inputs(1), config, due=due_at(1, config))
    return round(float(counter.get_total_flops()) / seconds / peak, 4)


def run(params: Params, data: Path | None) -> Iterator[Figures]:
    """The seconds of the stages on a data set, from start to exit, and the figures of the generator."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        (folder / workspace.PARAMS).write_text(yaml.safe_dump(dataclasses.asdict(params)))
        write_data(folder, data, name=params.data.name)
        for stage in ("train_classifier", "train_witness", "train", "evaluate"):
            started = time.perf_counter()
            done = subprocess.run(
                [sys.executable, SCRIPTS / f"{stage}.py"], cwd=folder, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise UsageError(f"{stage} ended with {done.returncode}: {done.stderr[-500:]}")
            yield {f"seconds_of_{stage}": round(time.perf_counter() - started, 1)}
        timings = (folder / workspace.TIMINGS).read_text().splitlines()
        yield {"timings": [json.loads(line) for line in timings][-1]}
        yield {"metrics": json.loads((folder / workspace.METRICS).read_text())}


def write_data(folder: Path, data: Path | None, *, name: Any) -> None:
    """The data set, as if `validate` had let it through: Great Expectations is not on a bare node."""
    if data is None:
        data = folder / workspace.RAW
        write_digits(data)
    arrays = read_arrays(name, data)
    sha256 = save_dataset(folder / workspace.DATASET, arrays, name=name)
    splits = {split: {"images": len(arrays[f"{split}_labels"])} for split in ("train", "test")}
    report = {"dataset": name, "success": True, "dataset_sha256": sha256, "splits": splits}
    write_json(folder / workspace.VALIDATION, report)


if __name__ == "__main__":
    run_stage(main)
