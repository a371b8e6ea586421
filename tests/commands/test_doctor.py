"""`dcgan doctor` finds every kind of damage, loses nothing, and names the command that repairs it, which works."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from damage import flip_bit
from dcgan.system.locks import exclusive
from dcgan.system.tensors_file import save_arrays
from dvc_workspace import CONFIG, Ended, commands_in, damage_object, enter_copy, in_shell, object_of, record, type_in

DATASET, REPORT = "data/dataset.safetensors", "reports/validation.json"
MODEL, FOLDER = "models/generator.safetensors", "data/raw"
NESTED = f"{FOLDER}/deeper/labels.gz"
CONTENTS = {f"{FOLDER}/images.gz": "raw images", NESTED: "raw labels", DATASET: "images" * 10, MODEL: "weights" * 10}
CONTENTS[REPORT] = json.dumps({"dataset_sha256": hashlib.sha256(CONTENTS[DATASET].encode()).hexdigest()})
STAGES = {"download": [FOLDER], "validate": [DATASET, REPORT], "train": [MODEL]}
HEALTHY = "nothing is damaged: what dvc.lock lists, DVC's cache, checkpoints and locks are as they should be\n"
RWLOCK, HERE, STRAY = ".dvc/tmp/rwlock", Path(), f".dvc/cache/files/md5/{'00/':0<33}"
Doctor = Callable[..., Ended]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which every stage has run."""
    return record(tmp_path_factory.mktemp("finished"), STAGES, contents=CONTENTS)


@pytest.fixture
def workspace(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to damage; it is the current folder."""
    return enter_copy(finished, tmp_path / "workspace", monkeypatch)


@pytest.fixture
def doctor(dcgan: Doctor) -> Doctor:
    return partial(dcgan, "doctor")


def damaged_paths(ended: Ended) -> list[str]:
    """What is damaged, according to output, error and exit code."""
    paths = [line.split(": ")[1] for line in ended.out.splitlines() if line.startswith("damaged: ")]
    assert (ended.exit_code, ended.err.count("\n")) == ((65, 1) if paths else (0, 0))
    return paths


def whole_files() -> set[str]:
    """The files that are as the stages left them."""
    return {name for name, content in CONTENTS.items() if Path(name).is_file() and Path(name).read_text() == content}


# What can be wrong: how it comes about, what is then damaged, and the first command that is printed


def damage_cached(out: str, here: str) -> Path:
    """Damage an object; its file here is whole, was restored from it, is missing or is of a new run."""
    path = object_of(HERE, out)
    damage_object(path)
    if here == "restored":
        Path(out).unlink()
        type_in(HERE, "dvc checkout")  # DVC hands out the damage without a word
    elif here == "missing":
        shutil.rmtree(out) if Path(out).is_dir() else Path(out).unlink()
    elif here == "new":
        Path(NESTED if out == FOLDER else out).write_text("new")
    return path


def cut_lock(upto: str, *, more: int) -> None:
    whole = Path("dvc.lock").read_text()
    Path("dvc.lock").write_text(whole[: whole.rindex(upto) + len(upto) + more])


def change_unseen(name: str) -> None:
    """Change a file, but not its time, after DVC has looked at it."""
    type_in(HERE, "dvc status --quiet")
    before = Path(name).stat()
    flip_bit(Path(name), 0)
    os.utime(name, ns=(before.st_atime_ns, before.st_mtime_ns))


def delete(*names: str) -> None:
    for name in names:
        shutil.rmtree(name)


def write_checkpoint(step: int) -> Path:
    path = Path(f".checkpoints/abc/step-{step:08d}.safetensors")
    save_arrays(path, {"state": np.full(10, step)}, {"progress": "{}"})
    return path


def locked_by(pid: int, command: str = "dvc repro") -> str:
    return json.dumps({"write": {"a": {"pid": pid, "cmd": command}}})


def write(path: str, content: str) -> Callable[[], object]:
    return lambda: Path(path).write_text(content)


CASES = {
    **{
        f"object {out} {here}": (partial(damage_cached, out, here), [out], "dcgan doctor --repair")
        for out in (MODEL, NESTED, FOLDER)
        for here in ("whole", "restored", "missing", "new")
        if (out, here) != (FOLDER, "restored")  # of a damaged listing, DVC makes nothing
    },
    "object of no out": (lambda: shutil.copyfile(object_of(HERE, MODEL), STRAY), [STRAY], "dcgan doctor --repair"),
    "objects lost": (partial(delete, ".dvc/cache"), [], "dcgan doctor --repair"),
    "outs missing": (partial(delete, "data", "models"), [], "dvc checkout"),
    "outs and objects missing": (partial(delete, "data", "models", "reports", ".dvc/cache"), [], "dvc repro"),
    **{
        f"{name} changed unseen": (partial(change_unseen, name), [name], f"rm -rf {name} && dvc checkout {name}")
        for name in (MODEL, NESTED)
    },
    "data set changed": (lambda: flip_bit(Path(DATASET), 5), [DATASET], "dvc repro"),
    "report changed": (write(REPORT, "{"), [REPORT], "dvc repro"),
    **{
        f"lock {name}": (spoil, ["dvc.lock"], "rm -rf dvc.lock && dvc repro")
        for name, spoil in {
            "empty": write("dvc.lock", ""),
            "zeros": write("dvc.lock", "\0\0\0"),
            "no mapping": write("dvc.lock", "- 1"),
            "cut in a hash": partial(cut_lock, "md5: ", more=15),
            "cut in a key": partial(cut_lock, "pat", more=0),
        }.items()
    },
    **{
        f"rwlock {name}": (write(RWLOCK, content), [RWLOCK], f"rm -rf {RWLOCK}")
        for name, content in {
            "empty": "",
            "cut": '{"write": {',
            "no DVC's": '{"read": {"a": [{"pid": "x"}]}}',
            "of another program": locked_by(1),
        }.items()
    },
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def spoilt(request: pytest.FixtureRequest, workspace: Path) -> tuple[list[str], str]:
    """What is damaged, in a workspace where it is, and the first command that is printed."""
    Path(STRAY).parent.mkdir()
    spoil, damaged, command = request.param
    spoil()
    return damaged, command


def test_what_is_wrong_is_found_and_repairing_it_loses_nothing(spoilt, doctor):
    damaged, command = spoilt
    whole, ended = whole_files(), doctor()
    assert damaged_paths(ended) == damaged
    assert command in commands_in(ended.out)[0]
    repaired = doctor("--repair")
    assert whole <= whole_files()
    if "dvc repro" not in command.split(" && ")[0]:
        assert damaged_paths(repaired) == []


@pytest.mark.slow
def test_the_commands_work_as_they_are_printed(spoilt, doctor):
    for _ in range(4):
        ended = doctor()
        for each in commands_in(ended.out):
            type_in(HERE, each)
    assert ended == (0, HEALTHY, "")
    assert whole_files() == set(CONTENTS)
    assert "up to date" in in_shell(HERE, "dvc status").out


@pytest.mark.parametrize("out", [MODEL, NESTED, FOLDER])
def test_a_damaged_object_is_stored_anew_from_a_whole_file(workspace, doctor, out):
    path = object_of(HERE, out)
    content = path.read_bytes()
    damage_cached(out, "whole")
    assert doctor("--repair").out.endswith(HEALTHY)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (content, 0o444)


@pytest.mark.parametrize("out", [MODEL, NESTED])
def test_of_a_restored_file_only_what_was_made_of_the_damage_is_deleted(workspace, doctor, out):
    path = damage_cached(out, "restored")
    before = {each for each in workspace.rglob("*") if each.is_file()}
    ended = doctor("--repair")
    assert {each for each in before if not each.exists()} == {workspace / path, workspace / out}
    assert commands_in(ended.out) == ["dvc repro"]


def test_a_whole_workspace_has_no_findings_and_nothing_of_it_is_touched(workspace, doctor):
    Path(".checkpoints").mkdir()
    Path(".checkpoints/lock").write_text("99999999")  # as a finished training leaves it
    Path(RWLOCK).write_text(locked_by(99999999))  # which DVC passes over

    def times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in workspace.rglob("*") if ".dvc/tmp" not in str(path)}

    before = times()
    assert doctor() == doctor("--repair") == (0, HEALTHY, "")
    assert times() == before


def test_where_it_cannot_work_it_says_why(tmp_path, monkeypatch, doctor):
    monkeypatch.chdir(tmp_path)
    assert doctor()[:2] == (64, "")
    Path("dvc.yaml").write_text("stages: {}")
    ended = doctor()
    assert ended.exit_code == 64
    assert "dvc init" in ended.err
    monkeypatch.setitem(sys.modules, "dvc.repo", None)
    assert doctor().exit_code == 69


@pytest.mark.parametrize(("file", "code"), [("dvc.yaml", 65), (".dvc/config", 64)])
def test_a_file_of_the_users_that_dvc_cannot_read_is_named(workspace, doctor, file, code):
    Path(file).write_text("[core")
    ended = doctor()
    assert (ended.exit_code, ended.err.count("\n")) == (code, 1)
    assert Path(file).name in ended.err


def test_a_dvc_lock_that_git_has_is_brought_back_from_there(workspace, doctor):
    Path(".dvc/config").write_text(CONFIG.replace("    no_scm = true\n", ""))
    type_in(HERE, "git init -q && git add dvc.lock")
    for spoil in (write("dvc.lock", ""), Path("dvc.lock").unlink):
        spoil()
        (command,) = commands_in(doctor().out)
        type_in(HERE, command)
        assert doctor() == (0, HEALTHY, "")


def test_what_is_of_another_commit_needs_dvc_checkout_and_what_is_of_a_new_run_dvc_repro(workspace, doctor):
    first = Path("dvc.lock").read_text()
    for name in (MODEL, DATASET):
        Path("good", name).write_text("of the second commit")
    Path("good", REPORT).write_text("{}")
    type_in(HERE, "dvc repro --quiet --force")
    Path("dvc.lock").write_text(first)
    ended = doctor()
    assert damaged_paths(ended) == []
    assert commands_in(ended.out) == ["dvc checkout"]
    Path(MODEL).write_text("of a run that DVC does not know")
    assert commands_in(doctor().out) == commands_in(doctor("--repair").out) == ["dvc repro"]
    assert Path(MODEL).read_text() == "of a run that DVC does not know"


def test_the_cache_and_the_workspace_may_be_elsewhere(workspace, doctor, monkeypatch):
    Path(".dvc/cache").rename("elsewhere")
    Path(".dvc/config.local").write_text("[cache]\n    dir = ../elsewhere\n")
    Path("demo").mkdir()
    for name in ("dvc.yaml", "dvc.lock", "remake.py", "data", "models", "reports"):
        Path(name).rename(Path("demo", name))
    monkeypatch.chdir("demo")
    assert doctor() == (0, HEALTHY, "")
    path = next(path for path in Path("../elsewhere").rglob("*") if path.is_file())
    damage_object(path)
    assert f" {path}: md5 " in doctor().out


@pytest.mark.parametrize("command", ["dvc repro", "editor --with dvc"])
def test_nothing_is_repaired_while_dvc_runs(workspace, doctor, command):
    script = "import time; print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, *command.split()], stdout=subprocess.PIPE) as process:
        process.stdout.readline()  # until then it has its parent's arguments
        Path(RWLOCK).write_text(locked_by(process.pid, command))
        path = damage_cached(MODEL, "whole")
        damaged = path.read_bytes()
        assert f"note: DVC, pid {process.pid}, is running" in doctor().out
        ended = doctor("--repair")
        process.kill()
    assert ended.exit_code == 75
    assert str(process.pid) in ended.err
    assert (path.read_bytes(), Path(RWLOCK).exists()) == (damaged, True)


def test_nothing_is_repaired_while_dvc_holds_its_main_lock_or_a_training_runs(workspace, doctor):
    checkpoint = write_checkpoint(4)
    flip_bit(checkpoint, -1)
    for lock in (Path(".dvc/tmp/lock"), Path(".checkpoints/lock")):
        with exclusive(lock):
            ended = doctor()
            assert damaged_paths(ended) == []
            assert f"pid {os.getpid()}, is running" in ended.out
            assert doctor("--repair").exit_code == 75
    assert checkpoint.exists()


def test_damaged_checkpoints_are_deleted_and_the_others_stay(workspace, doctor):
    whole, damaged = write_checkpoint(4), write_checkpoint(8)
    flip_bit(damaged, -1)
    ended = doctor()
    assert damaged_paths(ended) == [str(damaged)]
    assert f"stopped after {whole.stem}" in ended.out
    doctor("--repair")
    assert list(Path(".checkpoints/abc").iterdir()) == [whole]
    assert damaged_paths(doctor()) == []
