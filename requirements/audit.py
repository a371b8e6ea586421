"""Ask whether a locked package has a known vulnerability, and exit with 0: none, 1: some, 69: nobody could say.

Advisories in audit-waivers.toml are passed over until their last day.
"""

import json
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SERVICES = ("pypi", "osv")
"""Asked in this order, until one knows every package."""


def main() -> int:
    """Print what is known, and return the exit code."""
    today = datetime.now(UTC).date()
    waivers = tomllib.loads((HERE / "audit-waivers.toml").read_text())["waiver"]
    waived = [waiver["id"] for waiver in waivers if waiver["until"] >= today]
    failures = []
    for service in SERVICES:
        packages, failure = ask(service, waived)
        found = [(package, each) for package in packages for each in package.get("vulns", [])]
        for package, each in found:
            mended = ", ".join(each["fix_versions"]) or "no version"
            print(f"{package['name']} {package['version']}: {each['id']}, mended in {mended}")
        if found:
            print(
                f"error: {len(found)} known vulnerabilities; lock other versions, or waive with a reason",
                file=sys.stderr,
            )
            return 1
        if failure is None:
            print(f"{len(packages)} packages, no known vulnerability ({service}; {len(waived)} waived)")
            return 0
        failures.append(f"{service}: {failure}")
    told = "; ".join(failures)
    print(f"error: nothing was audited, no vulnerability database can be reached ({told}); try again", file=sys.stderr)
    return 69


def ask(service: str, waived: list[str]) -> tuple[list[dict[str, Any]], str | None]:
    """What a service says of each locked package, and why that is not all, if it is not."""
    locks = [f"--requirement={lock}" for lock in sorted(HERE.glob("*.txt"))]
    ignored = [f"--ignore-vuln={each}" for each in waived]
    quietly = ["--disable-pip", "--require-hashes", "--progress-spinner=off", "--format=json"]
    command = [sys.executable, "-m", "pip_audit", f"--vulnerability-service={service}", *quietly, *locks, *ignored]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 the arguments are ours
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return [], last.partition(":")[0]  # the error's name; what follows is the network's own long story
    skipped = [package for package in packages if "skip_reason" in package]
    return packages, f"knows nothing of {len(skipped)} of {len(packages)} packages" if skipped else None


if __name__ == "__main__":
    sys.exit(main())
