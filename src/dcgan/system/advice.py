"""The ways out that messages name: commands that work as printed, and run no more than they have to."""


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
