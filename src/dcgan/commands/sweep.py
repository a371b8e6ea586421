"""`dcgan sweep`: the best values of parameters by many trainings; Ray runs them, Optuna proposes, ASHA stops early."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from dcgan.commands.new import CHECKOUT
from dcgan.system.errors import UsageError

SPACE = Path("experiments/sweep.yaml")
NAME = "default"


def sweep_parameters(
    *,
    trials: Annotated[
        int | None, typer.Option("--trials", metavar="N", help="How many trainings. [default: 8]")
    ] = None,
    space: Annotated[
        Path | None, typer.Option("--space", metavar="FILE", help=f"The search space. [default: {SPACE}]")
    ] = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="The sweep to begin, or to go on with.")] = NAME,
    address: Annotated[
        str | None,
        typer.Option(
            "--address", metavar="HOST:PORT", envvar="RAY_ADDRESS", help="A Ray cluster. [default: this machine]"
        ),
    ] = None,
    cpus_per_trial: Annotated[
        int | None, typer.Option("--cpus-per-trial", metavar="N", help="Cores of a training. [default: 1]")
    ] = None,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option("--gpus-per-trial", metavar="X", help="GPUs of a training. [default: 0.25 if there is one]"),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="S", help="Seed of the sampler. [default: 0]")] = None,
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", help="Train the best with N other seeds.")] = 0,
    apply: Annotated[bool, typer.Option("--apply", help="Write the best values into params.yaml.")] = False,
) -> None:
    """Search for better parameters by many trainings side by side, and print the best as a patch to params.yaml.

    The same command goes on with a sweep that was interrupted, and shows the result of one that has ended.

    Raises:
        DcganError: as `run_sweep` and `apply_best`.
    """
    given = {"trials": trials, "seed": seed, "cpus_per_trial": cpus_per_trial, "gpus_per_trial": gpus_per_trial}
    options = {option: value for option, value in given.items() if value is not None}
    _refuse_bad(name, options, seeds=seeds)
    from dcgan.scale.driver import Request, apply_best, run_sweep

    request = Request(
        name=name, space=space or _default_space(), is_space_named=space is not None, options=options,
        address=address or None, seeds=seeds,
    )  # fmt: skip
    sweep = run_sweep(request)
    from dcgan.scale.report import result_lines

    values, lines = result_lines(sweep)
    print("\n".join(lines))
    if apply:
        apply_best(values)
        print("params.yaml now holds these values; run `dvc repro`")
    else:
        print(f"run `dcgan sweep --name {name} --apply` to write them into params.yaml")


def _refuse_bad(name: str, options: dict[str, Any], *, seeds: int) -> None:
    """Raise UsageError for what no sweep can be asked."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", name):
        raise UsageError(f"--name: {name!r}: take letters, digits, dots, dashes and underscores")
    gpus = options.get("gpus_per_trial", 0)
    wrong = {
        "--trials: expected 1 to 10,000": not 1 <= options.get("trials", 1) <= 10_000,
        "--cpus-per-trial: expected 1 to 1,024": not 1 <= options.get("cpus_per_trial", 1) <= 1024,
        "--gpus-per-trial: expected a share of a GPU from 0 to 1": not 0 <= gpus <= 1,
        "--seed: expected 0 to 4,294,967,295": not 0 <= options.get("seed", 0) < 2**32,
        "--seeds: expected 0 to 100": not 0 <= seeds <= 100,
    }
    for message, is_wrong in wrong.items():
        if is_wrong:
            raise UsageError(f"{message}; correct it")


def _default_space() -> Path:
    """The workspace's own, else the checkout's."""
    return SPACE if SPACE.is_file() else CHECKOUT / SPACE
