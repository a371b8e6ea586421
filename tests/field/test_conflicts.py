"""A merge conflict in dvc.lock: the command that `dcgan doctor` prints works as printed, whatever git's state."""

import subprocess
from pathlib import Path

import pytest

from dcgan.commands.doctor.finding import Finding
from dcgan.commands.doctor.locks import examine_dvc_lock
from dcgan.system.errors import BadDataError

LOCK = Path("dvc.lock")
OUT = "- path: a\n      hash: md5\n      md5: {}\n      size: 1\n"
CONFLICT = "<<<<<<< HEAD\n{}=======\n{}>>>>>>> other\n"


def lock(letter: str) -> str:
    """A lock in which the stage's out has this content."""
    return "schema: '2.0'\nstages:\n  make:\n    cmd: make\n    outs:\n    " + OUT.format(letter * 32)


def git(*arguments: str) -> None:
    user = ("-c", "user.name=a", "-c", "user.email=a@localhost")
    subprocess.run(["git", *user, *arguments], capture_output=True, check=arguments[0] != "merge")


def commit(content: str) -> None:
    LOCK.write_text(content)
    git("add", "--all")
    git("commit", "--quiet", "--message", "lock")


def findings() -> list[Finding]:
    from dvc.repo import Repo

    with Repo() as repo:
        return list(examine_dvc_lock(repo))


@pytest.fixture(autouse=True)
def _repository(tmp_path, monkeypatch) -> None:
    """A git and DVC repository with one stage, in whose folder the tests run."""
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet", "--initial-branch", "main")
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text("[core]\n    analytics = false\n")
    Path(".gitignore").write_text("/a\n/.dvc/tmp\n")
    Path("dvc.yaml").write_text("stages:\n  make:\n    cmd: make\n    outs: [a]\n")
    commit(lock("a"))


def conflict() -> None:
    git("checkout", "--quiet", "-b", "other")
    commit(lock("b"))
    git("checkout", "--quiet", "main")
    commit(lock("c"))
    git("merge", "other")
    assert "<<<<<<<" in LOCK.read_text()


def test_the_command_for_a_file_in_conflict_works_as_printed():
    conflict()
    (finding,) = findings()
    subprocess.run(finding.command, shell=True, check=True, capture_output=True)
    assert LOCK.read_text() == lock("c")
    assert findings() == []


@pytest.mark.parametrize("damage", [CONFLICT.format("a: 1\n", "a: 2\n"), lock("a")[:-30], "- 1", ""])
def test_what_was_changed_comes_from_the_index_and_what_was_committed_damaged_is_made_anew(damage):
    LOCK.write_text(damage)
    (finding,) = findings()
    subprocess.run(finding.command, shell=True, check=True, capture_output=True)
    assert LOCK.read_text() == lock("a")
    commit(damage)
    (finding,) = findings()
    assert finding.command == "rm -rf dvc.lock && dvc repro"


def test_a_conflict_in_dvc_yaml_names_the_file_and_no_command_that_would_lose_it():
    Path("dvc.yaml").write_text(CONFLICT.format("stages: {}\n", "stages: {}\n"))
    with pytest.raises(BadDataError, match=r"dvc.yaml.*correct it, then run `dcgan doctor` again"):
        findings()
