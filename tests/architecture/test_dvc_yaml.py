"""dvc.yaml lists, for each stage, the rooms that its script reaches: DVC does not follow imports."""

import ast
from functools import cache
from pathlib import Path

import grimp
import pytest
import yaml

from support import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
NEVER_LISTED = {"system", "checkpoints", "tracking", "cli"}
"""Rooms that change nothing of what a stage writes; neither does what only they reach."""


@cache
def graph() -> grimp.ImportGraph:
    """The imports of the package, without those that pass through the rooms that are never listed."""
    imports = grimp.build_graph("dcgan", cache_dir=None)
    for module in list(imports.modules):
        if module.count(".") and module.split(".")[1] in NEVER_LISTED:
            imports.remove_module(module)
    return imports


def scripts_of(script: Path) -> list[Path]:
    """A script, and the scripts beside it from which it imports."""
    nodes = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.ImportFrom)]
    beside = [script.with_name(f"{node.module}.py") for node in nodes]
    return [script, *(path for path in beside if path.exists())]


def imported(script: Path) -> set[str]:
    """Modules of the package that a script imports anywhere; grimp sees packages only."""
    modules = set()
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return modules & graph().modules


def rooms_reached(script: Path) -> set[str]:
    direct = set[str]().union(*(imported(each) for each in scripts_of(script)))
    reached = direct.union(*(graph().find_upstream_modules(module) for module in direct))
    return {module.split(".")[1] for module in reached if module.count(".")}


def rooms_listed(stage: str) -> set[str]:
    return {dep.removeprefix("src/dcgan/") for dep in STAGES[stage]["deps"] if dep.startswith("src/dcgan/")}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_its_script_and_the_rooms_that_it_reaches(stage):
    script = f"pipeline/{stage}.py"
    assert STAGES[stage]["cmd"] == f"python {script}"
    assert {f"pipeline/{each.name}" for each in scripts_of(ROOT / script)} <= set(STAGES[stage]["deps"])
    assert rooms_listed(stage) == rooms_reached(ROOT / script)


@pytest.mark.parametrize(
    ("source", "rooms"),
    [
        ("from dcgan.figures.evaluation import save_quality", {"figures", "evaluation", "classifier", "gan", "data"}),
        ("def main():\n    from dcgan.gan import losses", {"gan"}),
    ],
)
def test_a_room_that_is_reached_through_another_or_inside_a_function_is_seen(tmp_path, source, rooms):
    (tmp_path / "stage.py").write_text(source)
    assert rooms | {"config"} <= rooms_reached(tmp_path / "stage.py")


@pytest.mark.parametrize("room", ["system", "tracking", "service", "commands", "figures"])
def test_a_change_in_these_rooms_retrains_nothing(room):
    for stage in ("download", "validate", "train_classifier", "train_witness", "train"):
        assert room not in rooms_listed(stage)
