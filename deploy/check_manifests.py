"""Check every manifest of this folder, and those of the root, against their schemas: part of `make check`.

An unknown field is an error.

python deploy/check_manifests.py [FOLDER]
"""

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

HERE = Path(__file__).parent
BY_KIND = ("kubernetes", "kserve", "kubeflow")
"""Folders whose documents name their schema by `apiVersion` and `kind`."""
OUTSIDE = {"compose.yaml": "compose", "compose.team.yaml": "compose", ".devcontainer/devcontainer.json": "devcontainer"}
"""Files of the repository's root, and their schemas."""
SCHEMAS = {
    **OUTSIDE,
    "ci/github-actions.yaml": "github-workflows",
    "grafana/dashboard.json": "grafana",
    "prometheus/adapter.yaml": "prometheus-adapter",
    "prometheus/alerts.yaml": "prometheus-rules",
    "prometheus/prometheus.yaml": "prometheus-config",
    "skypilot/train.yaml": "skypilot",
}


@cache
def schema_of(name: str) -> dict[str, Any]:
    """A schema of schemas/."""
    content: dict[str, Any] = json.loads((HERE / "schemas" / f"{name}.json").read_text())
    return content


def validator_for(path: Path, document: Any) -> Draft202012Validator | str:
    """What checks a document of the file at a path relative to the folder, or why nothing does."""
    if path.parts[0] not in BY_KIND:
        name = SCHEMAS.get(path.as_posix())
        return Draft202012Validator(schema_of(name)) if name else "no schema; name one in deploy/check_manifests.py"
    if not isinstance(document, dict):
        return "a document is no mapping"
    kind = f"{document.get('apiVersion')}/{document.get('kind')}"
    if kind == "kustomize.config.k8s.io/v1beta1/Kustomization":
        return Draft202012Validator(schema_of("kustomization"))
    definitions = schema_of("kubernetes")["$defs"]
    if kind not in definitions:
        return f"{kind}: no schema; take it up in deploy/schemas/vendor.py"
    return Draft202012Validator({"$ref": f"#/$defs/{kind.replace('/', '~1')}", "$defs": definitions})


def fault_of(document: Any, path: Path) -> str | None:
    """What is wrong with a document of the file at a path relative to the folder: the worst of it."""
    validator = validator_for(path, document)
    if isinstance(validator, str):
        return validator
    fault = best_match(validator.iter_errors(document))
    return f"{fault.json_path}: {fault.message[:300]}" if fault else None


def faults_in(path: Path, folder: Path) -> Iterator[str]:
    """What is wrong with a file, a line each."""
    name, reader = path.relative_to(folder), YAML(typ="safe", pure=True)
    # Kubernetes reads YAML 1.1, where `yes` is true; GitHub reads 1.2, where `on` is a word. A key that stands twice is
    # an error.
    reader.version = (1, 2) if name.parts[0] == "ci" else (1, 1)
    try:
        documents = list(reader.load_all(path.read_text()))
    except YAMLError as error:
        yield f"{name}: {' '.join(str(error).split())}"
        return
    for document in documents:
        if fault := fault_of(document, name):
            yield f"{name}: {fault}"


def main(folder: Path) -> int:
    """Print what is wrong in a folder; the exit code is that of bad data if anything is."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in {".yaml", ".yml", ".json"})
    paths = [path for path in paths if path.relative_to(folder).parts[0] != "schemas"]
    faults = [fault for path in paths for fault in faults_in(path, folder)]
    if folder == HERE:
        paths += (outside := [HERE.parent / name for name in OUTSIDE])
        faults += [fault for path in outside for fault in faults_in(path, HERE.parent)]
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    print(f"{len(paths)} manifests, {len(faults)} faults")
    return 65 if faults or not paths else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if sys.argv[1:] else HERE))
