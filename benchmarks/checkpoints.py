"""What saving checkpoints costs a training by params.yaml: `python benchmarks/checkpoints.py [--device cuda]`."""

if __name__ == "__main__":
    import dcgan.system.start  # noqa: F401 it has an effect

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from dcgan.checkpoints.folder import CheckpointFolder
from dcgan.config.devices import prepare_device, resolve
from dcgan.config.params_file import changed, load_params
from dcgan.config.workspace import PARAMS
from dcgan.gan.graph import fastest_step
from dcgan.gan.inputs import Inputs
from dcgan.gan.state import build_state
from dcgan.gan.step import due_at
from dcgan.system.exit import run_stage


def main(
    device: Annotated[str, typer.Option(help="cpu, cuda or auto")] = "auto",
    steps: Annotated[int, typer.Option(min=1, help="steps timed")] = 60,
    saves: Annotated[int, typer.Option(min=1)] = 11,
) -> None:
    """Print the seconds of a step and of a checkpoint, and the share of time that checkpoints take."""
    params = changed(load_params(PARAMS), {"train.device": device})
    chosen = prepare_device(params.train)
    config = resolve(params.gan, chosen)
    state, make_step = build_state(config, device=chosen), fastest_step(config)
    inputs = Inputs.of_noise(config, device=chosen, end=steps)
    step_seconds, save_seconds = [], []
    with tempfile.TemporaryDirectory(dir=".") as parent:  # the disk that training saves on, not one in memory
        folder = CheckpointFolder(Path(parent), {"stage": "train"})
        for index in range(saves):
            for _ in range(max(1, steps // saves)):
                started = time.perf_counter()
                measured = make_step(state, inputs(state.step), config, due=due_at(state.step, config))
                state.step += 1
                measured["discriminator/loss"].item()  # waits for the device
                step_seconds.append(time.perf_counter() - started)
            started = time.perf_counter()
            folder.save(state)
            save_seconds.append(time.perf_counter() - started)
            num_bytes = max(path.stat().st_size for path in folder.path.iterdir())
            assert len(list(folder.path.glob("*.safetensors"))) == min(index + 1, 2)
    step, save, every = statistics.mean(step_seconds), statistics.median(save_seconds), config.train.checkpoint_every
    print(f"{num_bytes:,} bytes, {1000 * save:.0f} ms a checkpoint (median of {saves}), {1000 * step:.1f} ms a step")
    print(f"every {every} steps: {save / (every * step):.2%} of the time; a kill costs {every * step:.0f} s at most")


if __name__ == "__main__":
    run_stage(main)
