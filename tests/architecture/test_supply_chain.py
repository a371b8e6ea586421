"""What is installed is what was locked, by its hash; and whoever asks about it gets an honest answer."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"([a-z0-9-]+)==([^\s;]+)(?: ; [^\\]+)?((?: --hash=sha256:[0-9a-f]{64})+)")
WAIVERS = ROOT / "requirements/audit-waivers.toml"
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
    assert names == {"audit", "build", "dev", "serve-cpu", "serve-gpu", "tracking", "train", "uv"}
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
        for pin in pins_of(lock):
            of_lock[pin[1]].add(pin[2])
            hashes[f"{pin[1]}=={pin[2]}"].add(frozenset(pin[3].split()))
        for package, found in of_lock.items():
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


def test_every_waiver_is_of_a_locked_package_and_has_a_reason_and_an_end():
    packages = {pin[1] for lock in LOCKS for pin in pins_of(lock)}
    for waiver in tomllib.loads(WAIVERS.read_text())["waiver"]:
        assert_is_waiver(waiver, packages)


@pytest.mark.parametrize(
    "flaw", [{"reason": "no"}, {"package": "nonsense"}, {"until": date(2027, 1, 1)}, {"date": "yesterday"}, {"id": ""}]
)
def test_a_waiver_without_its_parts_would_be_refused(flaw):
    good = {
        "id": "GHSA-1",
        "package": "pillow",
        "reason": "we read no file of this kind",
        "date": date(2026, 1, 31),
        "until": date(2026, 4, 30),
    }
    assert_is_waiver(good, {"pillow"})
    with pytest.raises(AssertionError):
        assert_is_waiver(good | flaw, {"pillow"})


def assert_is_waiver(waiver: dict, packages: set[str]) -> None:
    assert set(waiver) == {"id", "package", "reason", "date", "until"}
    assert re.fullmatch(r"(GHSA|PYSEC|CVE)-\S+", waiver["id"])
    assert waiver["package"] in packages
    assert len(waiver["reason"].split()) >= 5
    assert isinstance(waiver["date"], date)
    assert isinstance(waiver["until"], date)
    assert waiver["date"] <= waiver["until"] <= waiver["date"] + timedelta(days=184)


CLEAN = json.dumps({"dependencies": [{"name": "pillow", "version": "12.0", "vulns": []}]})
UNKNOWN = json.dumps({"dependencies": [{"name": "pillow", "skip_reason": "not found"}]})
FLAWED = json.dumps(
    {"dependencies": [{"name": "pillow", "version": "12.0", "vulns": [{"id": "GHSA-1", "fix_versions": ["12.1"]}]}]}
)


def audit(folder: Path, *, pypi: str, osv: str, waiver: str = "") -> subprocess.CompletedProcess[str]:
    """Run the audit in a copy, with a stand-in for pip-audit; an answer of "" stands for no network."""
    for name in ("audit.py", "audit-waivers.toml", "uv.txt"):
        shutil.copy(ROOT / "requirements" / name, folder)
    if waiver:
        (folder / "audit-waivers.toml").write_text(waiver)
    (folder / "pip_audit.py").write_text(f"""
import sys
answer = {pypi!r} if "--vulnerability-service=pypi" in sys.argv else {osv!r}
if "--ignore-vuln=GHSA-1" in sys.argv:
    answer = {CLEAN!r}
if not answer:
    raise ConnectionError("http://somewhere cannot be reached")
print(answer)
sys.exit("GHSA" in answer)
""")
    command, environment = [sys.executable, folder / "audit.py"], os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_an_audit_that_finds_nothing_says_who_was_asked(tmp_path):
    done = audit(tmp_path, pypi=CLEAN, osv="")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1 packages, no known vulnerability (pypi; 0 waived)\n"


@pytest.mark.parametrize("pypi", ["", UNKNOWN])
def test_a_service_that_cannot_say_is_followed_by_the_next(tmp_path, pypi):
    assert audit(tmp_path, pypi=pypi, osv=CLEAN).returncode == 0
    done = audit(tmp_path, pypi=pypi, osv=FLAWED)
    assert done.returncode == 1
    assert done.stdout == "pillow 12.0: GHSA-1, mended in 12.1\n"


@pytest.mark.parametrize("pypi", ["", UNKNOWN])
def test_an_audit_that_reaches_nobody_is_69_and_one_line_and_never_a_pass(tmp_path, pypi):
    done = audit(tmp_path, pypi=pypi, osv="")
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.startswith("error: nothing was audited, no vulnerability database can be reached (pypi: ")
    assert done.stderr.count("\n") == 1
    assert "osv: ConnectionError" in done.stderr


@pytest.mark.parametrize(("days", "code"), [(0, 0), (-1, 1)])
def test_a_waiver_holds_until_its_last_day(tmp_path, days, code):
    until = datetime.now(UTC).date() + timedelta(days=days)
    waiver = f'[[waiver]]\nid = "GHSA-1"\npackage = "pillow"\nreason = "r"\ndate = 2026-01-01\nuntil = {until}\n'
    assert audit(tmp_path, pypi=FLAWED, osv="", waiver=waiver).returncode == code
