"""Packages that a process is not to find, as on a machine that does not have them."""

from collections.abc import Sequence


def hiding(packages: Sequence[str]) -> str:
    """Code that goes before a script: importing one of the packages fails from there on."""
    return f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {list(packages)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""
