"""Write what each shipped lock installs as CycloneDX, with hashes, into dist/sbom: equal locks give equal bytes."""

import json
import subprocess
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[1]
OUT = ROOT / "dist/sbom"
SHIPPED = ("serve-cpu", "serve-gpu", "train", "tracking")


def main() -> None:
    """Write one file a lock."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name in SHIPPED:
        text = bill_of(ROOT / f"requirements/{name}.txt")
        problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
        if problem:
            sys.exit(f"error: {name}: not valid CycloneDX: {problem}")
        path = OUT / f"{name}.cdx.json"
        path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {len(json.loads(text)['components'])} components")


def bill_of(lock: Path) -> str:
    """The bill of one lock; `pkg:` stands where the tool would name a registry."""
    options = ["--spec-version=1.6", "--output-reproducible", "--index-url=pkg:pypi"]
    command = [sys.executable, "-W", "ignore::UserWarning", "-m", "cyclonedx_py", "requirements", *options]
    done = subprocess.run(  # noqa: S603 the arguments are ours
        [*command, f"--pyproject={ROOT / 'pyproject.toml'}", lock], stdout=subprocess.PIPE, text=True, check=True
    )
    bill = json.loads(done.stdout)
    for tool in bill["metadata"]["tools"]["components"]:
        tool.pop("externalReferences", None)
    for component in bill["components"]:
        component.pop("description")  # the lock's own lines again
    return json.dumps(bill, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    main()
