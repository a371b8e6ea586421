"""A small set of shards, and what is in its folder."""

import json
from pathlib import Path
from typing import Any

SMALL = ("--count", 95, "--shard-size", 20, "--seed", 3)
"""Five shards, the last of 15 digits."""


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())
