"""What messages tell users to do: commands that work as printed, and run no more than they have to."""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from dcgan.system.redaction import holds_secret, redacted


def run(stage: str) -> str:
    """Get what a stage writes, for whatever is missing."""
    return f"run `dvc repro {stage}`"


def rerun(stage: str) -> str:
    """Run a stage again though its inputs are the same; by --force alone DVC runs all stages before it too."""
    return f"run `dvc repro --force --single-item {stage}`"


def repair(stage: str) -> str:
    """Get a whole file in the place of a damaged one.

    DVC trusts its cache: it checks a damaged object out again and again, whatever runs after it.
    """
    return f"run `dcgan doctor --repair`, then `dvc repro`; if it finds nothing, {rerun(stage)}"


def print_next_steps(results: Iterable[Path], *, store: str) -> None:
    """Print where the results of the pipeline are, and how to look at them: the last lines of its last stage.

    Under make nothing: `make demo` and `make repro` end with such lines, also where no stage had to run.

    Args:
        results: the files to name.
        store: the address of MLflow's store.
    """
    if "MAKELEVEL" not in os.environ:
        print("results:", *results)
        print(f"look: {browse(store)} (runs), `dcgan generate --out digits.png`, `dcgan serve`")


def browse(store: str) -> str:
    """Where the runs in an MLflow store are to be seen: a server's address, or the command that starts a server."""
    if store.startswith(("http://", "https://")):
        return redacted(store)
    if store == f"sqlite:///{Path.cwd() / 'mlflow.db'}":  # MLflow itself looks there
        return "`mlflow ui`"
    address = '"$MLFLOW_TRACKING_URI"' if holds_secret(store) else shlex.quote(store)
    return f"`mlflow ui --backend-store-uri {address}`"
