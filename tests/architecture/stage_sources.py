"""The source files that each stage script reaches, from the import graph, and their lists in dvc.yaml.

`python tests/architecture/stage_sources.py --write` brings dvc.yaml up to date.
"""

import ast
import sys
from functools import cache
from pathlib import Path

import grimp
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]


def sources_of(stage: str) -> list[str]:
    """The script of `stage` and every file of the package that it imports, directly or not, from the root."""
    script = ROOT / "pipeline" / f"{stage}.py"
    modules = {module for module in _imported_modules(script) if module.split(".")[0] == "dcgan"}
    reached = {each for module in modules for each in _graph().find_upstream_modules(module)} | modules
    packages = {module.rpartition(".")[0] for module in reached}
    paths = {_file_of(module) for module in reached} | {_file_of(package) for package in packages}
    return sorted(str(path.relative_to(ROOT)) for path in {script, *filter(_has_code, paths)})


def listed_sources(stage: str) -> list[str]:
    """The source files that dvc.yaml lists for `stage`."""
    deps = _dvc_yaml()[1]["stages"][stage]["deps"]
    return sorted(dep.removeprefix("${root}/") for dep in deps if dep.endswith(".py"))


def stages() -> list[str]:
    """The names of all stages."""
    return list(_dvc_yaml()[1]["stages"])


def write_sources() -> None:
    """Make dvc.yaml list exactly what the stages reach."""
    yaml, content = _dvc_yaml()
    for stage, definition in content["stages"].items():
        data = [dep for dep in definition["deps"] if not dep.endswith(".py")]
        definition["deps"] = [f"${{root}}/{source}" for source in sources_of(stage)] + data
    with (ROOT / "dvc.yaml").open("w") as file:
        yaml.dump(content, file)


def _dvc_yaml() -> tuple[YAML, dict]:
    yaml = YAML()
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml, yaml.load(ROOT / "dvc.yaml")


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("dcgan", cache_dir=None)


def _imported_modules(script: Path) -> set[str]:
    """Modules of the package imported anywhere in a script, which no package contains and grimp does not see."""
    tree = ast.parse(script.read_text())
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return modules & _graph().modules


def _file_of(module: str) -> Path:
    path = ROOT / "src" / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _has_code(path: Path) -> bool:
    """Whether a file holds more than a docstring: an empty package file changes nothing."""
    return any(not isinstance(node, ast.Expr) for node in ast.parse(path.read_text()).body)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write_sources()
    else:
        sys.exit("usage: python tests/architecture/stage_sources.py --write")
