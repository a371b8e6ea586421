"""What is installed is what was locked, by its hash; and whoever asks about it gets an honest answer."""

import os
import re
import shutil
import subprocess
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path

import pytest

from support import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"([a-z0-9-]+)==([^\s;]+)(?: ; [^\\]+)?((?: --hash=sha256:[0-9a-f]{64})+)")
SOURCE_ONLY = {"antlr4-python3-runtime"}


def requirements_in(text: str) -> list[str]:
    """The logical lines of a file: each joined with those that a backslash continues it with."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def pins_of(lock: Path) -> list[re.Match[str]]:
    """Package, version and hashes of each line; a package may stand twice, with versions for different Pythons."""
    return [pin for line in requirements_in(lock.read_text()) if (pin := PIN.fullmatch(line))]


def test_there_is_a_lock_for_each_purpose():
    names = {lock.stem for lock in LOCKS}
    assert names == {"audit", "build", "clients", "dev", "docs", "scale", "serve-cpu", "serve-gpu", "team", "tracking",
        "train", "uv",
    }  # fmt: skip
    assert names == set(re.findall(r"^lock ([a-z-]+) ", (ROOT / "requirements/lock.sh").read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_every_line_of_a_lock_is_one_version_and_its_hashes_and_no_address(lock):
    text = lock.read_text()
    assert [line for line in requirements_in(text) if not PIN.fullmatch(line)] == []
    assert pins_of(lock)
    assert "://" not in text


def test_the_locks_agree_on_versions_and_hashes():
    versions, hashes = defaultdict(set), defaultdict(set)
    for lock in LOCKS:
        of_lock = defaultdict(set)
        for package, version, digests in map(re.Match.groups, pins_of(lock)):
            of_lock[package].add(version)
            hashes[package, version].add(frozenset(digests.split()))
        for package, found in of_lock.items():
            if lock.stem != "clients":  # it is installed alone: what it needs excludes versions that we have
                versions[package].add(frozenset(found))
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}
    # A lock for fewer platforms lists fewer of a version's files, and no others.
    assert [pin for pin, found in hashes.items() if frozenset().union(*found) not in found] == []


def installs() -> list[tuple[str, str]]:
    """Every command that installs something, with the file that it stands in."""
    files = [ROOT / "Makefile", ROOT / "Dockerfile", *(ROOT / "docker").glob("*.sh"), *ROOT.glob("*.md")]
    files += [*(ROOT / "docs").rglob("*.md"), *(ROOT / "requirements").glob("*.sh")]
    variables = dict(re.findall(r"^(\w+) := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    found = []
    for path in files:
        for line in re.split(r"\n|&&|\|\|", re.sub(r"\s*\\\n\s*", " ", path.read_text())):
            command = re.sub(r"\$\((\w+)\)", lambda name: variables.get(name[1], name[0]), line)
            if re.search(r"(^|[\s/])pip (install|sync) ", command) and "`pip install" not in command:
                found.append((path.name, command.strip()))
    return found


def test_whatever_is_installed_is_locked_and_no_third_partys_code_runs_to_build_it():
    commands = installs()
    assert {name for name, _ in commands} >= {"Makefile", "Dockerfile", "README.md"}
    for _, command in commands:
        if "requirements/" in command:
            assert "--require-hashes" in command, command
            assert "--no-build " in command or "--only-binary :all:" in command, command
            built = set(re.findall(r"--no-binary (\S+)", command))
            assert built <= SOURCE_ONLY, command
            assert not built or "--build-constraints requirements/build.txt" in command, command
        else:  # our own package
            assert "--no-deps" in command, command
            assert "--no-build-isolation" in command or "dist/*.whl" in command, command


# Known vulnerabilities

PIP_AUDIT = """#!/bin/sh
case "$*" in
*--no-deps*) echo "$CONTROL"; exit 1 ;;
*--ignore-vuln=GHSA-1*) exit 0 ;;
esac
echo "asked: $*"
exit $FOUND
"""


def audit(folder: Path, *, control: str = "requests 2.19.1 PYSEC-2018-28", found: int = 0, waiver: str = ""):
    """`make audit` with a stand-in for pip-audit, which answers about the package that is known to be vulnerable, and
    then about the locks.
    """
    (folder / "requirements").mkdir()
    (folder / ".venv-audit/bin").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("audit.txt", "uv.txt", "audit-waivers"):
        shutil.copy(ROOT / "requirements" / name, folder / "requirements")
    with (folder / "requirements/audit-waivers").open("a") as waivers:
        waivers.write(waiver)
    stand_in = folder / ".venv-audit/bin/pip-audit"
    stand_in.write_text(PIP_AUDIT)
    stand_in.chmod(0o755)
    subprocess.run(["make", "--touch", "audit"], cwd=folder, check=True, capture_output=True)
    environment = os.environ | {"CONTROL": control, "FOUND": str(found)}
    command = ["make", "-C", folder, "audit"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_an_audit_asks_about_every_lock_and_no_package_may_be_unknown(tmp_path):
    done = audit(tmp_path)
    assert done.returncode == 0
    asked = done.stdout.partition("asked: ")[2]
    assert {"--strict", *(f"--requirement=requirements/{lock}.txt" for lock in ("audit", "uv"))} <= set(asked.split())
    assert "--ignore-vuln" not in asked


@pytest.mark.parametrize("answer", ["", "No known vulnerabilities found"])
def test_an_audit_that_reaches_nobody_is_69_and_never_a_pass(tmp_path, answer):
    done = audit(tmp_path, control=answer)
    assert done.returncode != 0
    assert "Error 69\n" in done.stderr
    assert "error: nothing was audited" in done.stderr
    assert "asked: " not in done.stdout


@pytest.mark.parametrize("days", [None, 0, -1])
def test_an_audit_that_finds_something_fails_unless_a_waiver_holds_on_its_last_day(tmp_path, days):
    until = date.today() + timedelta(days=days or 0)
    done = audit(tmp_path, found=1, waiver="" if days is None else f"GHSA-1 {until} the reason\n")
    assert ("Error 1\n" in done.stderr) == (done.returncode != 0) == (days != 0)


def test_every_waiver_has_a_reason_and_an_end():
    for line in requirements_in((ROOT / "requirements/audit-waivers").read_text()):
        name, until, *reason = line.split()
        assert re.fullmatch(r"(GHSA|PYSEC|CVE)-\S+", name)
        assert date.fromisoformat(until) <= date.today() + timedelta(days=184)
        assert len(reason) >= 5
