"""The files of deploy/ as tests read them, and the processes that they describe."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from check_manifests import OUTSIDE
from support import ROOT

DEPLOY = ROOT / "deploy"
MANIFESTS = sorted(
    path.relative_to(DEPLOY).as_posix()
    for path in DEPLOY.rglob("*")
    if path.suffix in {".yaml", ".json"} and "schemas" not in path.parts
)


def documents(name: str) -> list[Any]:
    """Those of a manifest, as plain values."""
    reader = YAML(typ="safe", pure=True)
    reader.version = (1, 2) if name.startswith("ci/") else (1, 1)
    path = (ROOT if name in OUTSIDE else DEPLOY) / name
    return list(reader.load_all(path.read_text()))


def document(name: str) -> Any:
    (only,) = documents(name)
    return only


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value in a tree, with the keys that lead there."""
    yield path, value
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in pairs:
        yield from nodes(each, (*path, key))


def environment_of(container: dict[str, Any]) -> dict[str, str]:
    """The variables of a container whose values stand in its manifest."""
    return {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}


def image_of(target: str) -> dict[str, Any]:
    """What a target of the Dockerfile starts, and its environment."""
    stage = re.split(r"^FROM .* AS ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    (text,) = (each for each in stage if each.startswith(f"{target}\n"))
    lists = {
        key: re.findall(r'"([^"]*)"', value)
        for key, value in re.findall(r"^(ENTRYPOINT|CMD) (.*)$", text, re.MULTILINE)
    }
    return lists | {"ENV": dict(re.findall(r"^ENV (\w+)=(\S+)", text, re.MULTILINE))}


def directives(script: Path) -> dict[str, str]:
    """The options of a Slurm script."""
    return dict(re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", script.read_text(), re.MULTILINE))
