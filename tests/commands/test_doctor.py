"""`dcgan doctor` finds every kind of damage and names the command that repairs it; the commands do."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from damage import flip_bit
from dcgan import cli
from dcgan.system.run_lock import exclusive
from dcgan.system.tensors_file import save_arrays
from dvc_workspace import Doctor, Ended, commands_in, damage_object, in_shell, md5, object_of, record

DATASET, MODEL, FOLDER = "data/dataset.safetensors", "models/generator.safetensors", "data/raw"
STAGES = {"download": [FOLDER], "validate": [DATASET, "reports/validation.json"], "train": [MODEL]}
HEALTHY = "no findings: what dvc.lock lists, DVC's copies of it, checkpoints and locks are whole\n"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, in which every stage has run."""
    data = b"images" * 10
    report = {"dataset": "digits", "dataset_sha256": hashlib.sha256(data).hexdigest()}
    contents = {
        f"{FOLDER}/images.gz": b"raw images",
        f"{FOLDER}/deeper/labels.gz": b"raw labels",
        DATASET: data,
        "reports/validation.json": json.dumps(report).encode(),
        MODEL: b"weights" * 10,
    }
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    return record(tmp_path, STAGES)


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Doctor:
    """Run `dcgan doctor` in this process."""

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["dcgan", "doctor", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Ended(ended.value.code, *capfd.readouterr())

    return run


@pytest.fixture
def dead_pid() -> int:
    """A number that no process has any more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


@pytest.fixture
def other_pid() -> Iterator[int]:
    """A living process that has nothing to do with DVC."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


@pytest.fixture
def dvc_pid() -> Iterator[int]:
    """A living process that looks as DVC does."""
    script = "import time; print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, "dvc", "repro"], stdout=subprocess.PIPE) as process:
        process.stdout.readline()  # until then it has its parent's name
        yield process.pid
        process.kill()


def is_note(ended: Ended) -> bool:
    """Whether there was something to say, but no damage."""
    return ended.exit_code == 0 and ended.err == "" and ended.out.startswith("note: ") and "damaged" not in ended.out


def write_rwlock(content: object) -> Path:
    path = Path(".dvc/tmp/rwlock")
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def write_checkpoint(step: int) -> Path:
    path = Path(f".checkpoints/abc/step-{step:08d}.safetensors")
    save_arrays(path, {"state": np.full(10, step)}, {"progress": "{}"})
    return path


def test_a_whole_workspace_has_no_findings(workspace, doctor):
    Path(".dvc/tmp").mkdir()
    Path(".dvc/tmp/lock").write_text(" 99999999\n")  # DVC always leaves it so
    Path(".checkpoints").mkdir()
    Path(".checkpoints/lock").write_text("99999999")  # as a finished training does
    assert doctor() == doctor("--repair") == (0, HEALTHY, "")


def test_elsewhere_it_says_where_to_run_it(tmp_path, monkeypatch, doctor):
    monkeypatch.chdir(tmp_path)
    assert doctor() == (
        64,
        "",
        "error: no dvc.yaml here; run `dcgan doctor` in the folder in which you run `dvc repro`\n",
    )


def test_neither_pytorch_nor_dvc_is_needed(workspace):
    heavy = "torch", "dvc", "mlflow", "numpy", "requests"
    blocked = f"import sys; sys.modules.update(dict.fromkeys({heavy})); sys.argv[1:] = ['doctor']"
    done = in_shell(workspace, f'python -c "{blocked}; from dcgan.cli import main; main()"')
    assert done == (0, HEALTHY, "")


@pytest.mark.parametrize(
    "content", ["", "\n", "\0\0\0", "schema: '2.0'\n", "stages: [", "- 1", "\x80", None, "hash", "key"]
)
def test_a_broken_dvc_lock_is_named_with_the_command_that_brings_it_back(workspace, doctor, content):
    lock = Path("dvc.lock")
    whole = lock.read_text()
    cut = {"hash": whole[: whole.rindex("md5: ") + 20], "key": whole[: whole.rindex("path: ") + 3]}
    if content is None:
        lock.unlink()
    else:
        lock.write_bytes(cut.get(content, content).encode("latin-1"))
    without_git = doctor()
    assert commands_in(without_git.out) == ["rm -f dvc.lock && dvc repro"]
    assert (without_git.exit_code, without_git.out.partition(":")[0]) == (
        (0, "note") if content is None else (65, "damaged")
    )
    lock.write_text(whole)
    subprocess.run("git init -q && git add dvc.lock", shell=True, check=True)
    lock.write_text("")
    assert doctor().out == "damaged: dvc.lock: empty; run `git checkout dvc.lock && dvc repro`\n"
    subprocess.run(["git", "checkout", "dvc.lock"], check=True, capture_output=True)
    assert doctor().exit_code == 0


def test_what_was_not_run_yet_is_worth_a_note_only(workspace, doctor):
    shutil.rmtree("models")
    definitions = Path("dvc.yaml").read_text()
    Path("dvc.yaml").write_text(definitions + "  export: {cmd: 'true'}\n")
    ended = doctor()
    assert is_note(ended)
    assert (
        "note: dvc.lock: 1 of its 4 outs are not here, as models/generator.safetensors; run `dvc repro`\n" in ended.out
    )
    assert "note: dvc.lock: lacks export; run `dvc repro`\n" in ended.out


def test_a_damaged_object_is_written_anew_from_the_whole_file(workspace, doctor):
    path = object_of(workspace, MODEL)
    damage_object(path)
    expected, found = md5(Path(MODEL).read_bytes()), md5(path.read_bytes())
    problem = f"its copy in DVC's cache, {path.relative_to(workspace)}: md5 expected {expected}, found {found}"
    assert doctor() == (
        65,
        f"damaged: {MODEL}: {problem}; run `dcgan doctor --repair`\n",
        "error: 1 found damaged; above is what to run, or dcgan doctor --repair\n",
    )
    assert doctor("--repair").exit_code == 0
    assert path.read_bytes() == Path(MODEL).read_bytes()
    assert path.stat().st_mode & 0o777 == 0o444
    assert doctor() == doctor("--repair") == (0, HEALTHY, "")


@pytest.mark.parametrize("out", [MODEL, DATASET, "data/raw/deeper/labels.gz"])
def test_a_damaged_object_and_the_file_made_of_it_are_deleted_and_nothing_else(workspace, doctor, out):
    path = object_of(workspace, out)
    damage_object(path)
    shutil.copyfile(path, out)  # as `dvc checkout` does
    before = {each for each in workspace.rglob("*") if each.is_file()}
    ended = doctor()
    (command,) = commands_in(ended.out)
    stage = next(stage for stage, outs in STAGES.items() if any(out.startswith(each) for each in outs))
    assert command == f"rm -f {path.relative_to(workspace)} {out} && dvc repro {stage}"
    assert ended.exit_code == 65
    ended = doctor("--repair")
    assert ended.exit_code == 0
    assert ended.out.endswith("left to run: `dvc repro`\n")
    assert before - {each for each in workspace.rglob("*") if each.is_file()} == {path, workspace / out}
    doctor("--repair")
    assert is_note(doctor())


def test_a_damaged_object_without_its_file_is_deleted(workspace, doctor):
    path = object_of(workspace, MODEL)
    damage_object(path)
    Path(MODEL).unlink()
    assert commands_in(doctor().out)[0] == f"rm -f {path.relative_to(workspace)} && dvc repro train"
    doctor("--repair")
    assert not path.exists()


def test_a_file_of_a_new_run_stays_when_the_old_object_is_damaged(workspace, doctor):
    path = object_of(workspace, MODEL)
    damage_object(path)
    Path(MODEL).write_bytes(b"new weights")
    doctor("--repair")
    assert not path.exists()
    assert Path(MODEL).read_bytes() == b"new weights"


@pytest.mark.parametrize("is_whole_here", [True, False])
def test_a_damaged_listing_of_a_folder(workspace, doctor, is_whole_here):
    path = object_of(workspace, FOLDER)
    whole = path.read_bytes()
    damage_object(path)
    if not is_whole_here:
        Path(FOLDER, "images.gz").unlink()
    assert doctor().out.startswith(f"damaged: {FOLDER}: its listing in DVC's cache, {path.relative_to(workspace)}: ")
    assert doctor("--repair").exit_code == 0
    assert (path.read_bytes() == whole) if is_whole_here else not path.exists()


def test_objects_that_the_cache_lost_are_put_back_before_they_cost_a_training(workspace, doctor):
    path = object_of(workspace, MODEL)
    shutil.rmtree(".dvc/cache")
    assert is_note(doctor())
    assert doctor("--repair").exit_code == 0
    assert path.read_bytes() == Path(MODEL).read_bytes()
    assert doctor() == (0, HEALTHY, "")


@pytest.mark.parametrize("name", ["config", "config.local"])
@pytest.mark.parametrize("place", ["../elsewhere", "{}/elsewhere"])
def test_the_cache_may_be_elsewhere(workspace, doctor, name, place):
    Path(".dvc/cache").rename("elsewhere")
    if name == "config.local":
        Path(".dvc/config").write_text("[cache]\n    dir = /nowhere\n")
    Path(".dvc", name).write_text(f"[core]\n    analytics = false\n[cache]\n    dir = {place.format(workspace)}\n")
    assert doctor() == (0, HEALTHY, "")
    path = (
        workspace / "elsewhere/files/md5" / object_of(workspace, MODEL).relative_to(workspace / ".dvc/cache/files/md5")
    )
    damage_object(path)
    assert doctor().exit_code == 65
    doctor("--repair")
    assert doctor() == (0, HEALTHY, "")


def test_a_workspace_in_a_folder_of_the_repository(workspace, doctor, monkeypatch):
    Path("demo").mkdir()
    for name in ("dvc.yaml", "dvc.lock", "data", "models", "reports"):
        Path(name).rename(Path("demo", name))
    monkeypatch.chdir("demo")
    assert doctor() == (0, HEALTHY, "")
    path = object_of(workspace, f"demo/{MODEL}")
    damage_object(path)
    assert f" ../{path.relative_to(workspace)}: " in doctor().out


def test_a_file_that_is_only_another_than_dvc_locks_is_no_damage_and_is_kept(workspace, doctor):
    Path(MODEL).write_bytes(b"new weights")
    os.utime(MODEL, (0, 0))
    ended = doctor()
    assert is_note(ended)
    assert f"found {md5(b'new weights')}: of a new or an interrupted run" in ended.out
    assert commands_in(ended.out) == [f"find {MODEL} -type f -exec touch '{{}}' + && dvc repro train"]
    assert doctor("--repair").out.endswith("left to run: `dvc repro`\n")
    assert Path(MODEL).read_bytes() == b"new weights"
    assert Path(MODEL).stat().st_mtime > 0, "DVC would not look at it again"


def test_a_data_set_that_validate_did_not_let_through_is_damage(workspace, doctor):
    flip_bit(Path(DATASET), 5)
    (line,) = doctor().out.splitlines()
    assert line.startswith(f"damaged: {DATASET}: md5 in dvc.lock ")
    Path("dvc.lock").write_text("stages: {}")
    ended = doctor()
    found = hashlib.sha256(Path(DATASET).read_bytes()).hexdigest()
    assert ended.exit_code == 65
    assert f"damaged: {DATASET}: sha256 expected " in ended.out
    assert f"by reports/validation.json, found {found}; run `dvc repro --force --single-item validate`" in ended.out
    Path("reports/validation.json").write_text("{")
    assert "damaged: reports/validation.json: not valid JSON; run `dvc repro" in doctor().out


@pytest.mark.parametrize("content", ["", '{"write": {', '{"write": []}', "[]", '{"read": {"a": [{"pid": "x"}]}}'])
def test_a_broken_lock_of_dvcs_files_is_deleted(workspace, doctor, content):
    path = write_rwlock(content)
    ended = doctor()
    assert ended.exit_code == 65
    assert ended.out.startswith("damaged: .dvc/tmp/rwlock: truncated or not what DVC writes (")
    assert commands_in(ended.out) == ["rm -f .dvc/tmp/rwlock"]
    Path("dvc.lock").rename("kept.lock")
    assert commands_in(doctor().out)[0] == "rm -f .dvc/tmp/rwlock", "DVC's own commands fail before it"
    Path("kept.lock").rename("dvc.lock")
    assert doctor("--repair").exit_code == 0
    assert not path.exists()
    assert doctor() == (0, HEALTHY, "")


def test_a_lock_of_a_killed_dvc_is_a_note_unless_its_number_was_given_out_again(workspace, doctor, dead_pid, other_pid):
    write_rwlock({"write": {"a": {"pid": dead_pid, "cmd": "dvc repro"}}})
    ended = doctor()
    assert is_note(ended)
    assert f"says that pid {dead_pid}, which is gone, is at work; run `rm -f .dvc/tmp/rwlock`" in ended.out
    write_rwlock({"read": {"a": [{"pid": other_pid, "cmd": "dvc repro"}]}})
    ended = doctor()
    assert ended.exit_code == 65
    assert f"says that pid {other_pid}, which is another program's now, is at work" in ended.out
    assert doctor("--repair").exit_code == 0
    assert doctor() == (0, HEALTHY, "")


def test_nothing_is_repaired_while_dvc_runs(workspace, doctor, dvc_pid):
    path = write_rwlock({"write": {"a": {"pid": dvc_pid, "cmd": "dvc repro"}}})
    damage_object(object_of(workspace, MODEL))
    assert f"note: DVC, pid {dvc_pid}, is running" in doctor().out
    damaged = object_of(workspace, MODEL).read_bytes()
    ended = doctor("--repair")
    assert ended.exit_code == 75
    assert ended.err.startswith(f"error: DVC, pid {dvc_pid}, is running; wait until it ends, or stop it; nothing was")
    assert path.exists()
    assert object_of(workspace, MODEL).read_bytes() == damaged


def test_dvcs_main_lock_counts_while_it_is_held(workspace, doctor):
    Path(".dvc/tmp").mkdir()
    with Path(".dvc/tmp/lock").open("w") as lock:
        lock.write(f" {os.getpid()}\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert f"note: DVC, pid {os.getpid()}, is running" in doctor().out


def test_a_running_training_is_told_and_its_checkpoints_are_left_alone(workspace, doctor):
    checkpoint = write_checkpoint(4)
    flip_bit(checkpoint, -1)
    with exclusive(Path(".checkpoints/lock")):
        ended = doctor()
        assert is_note(ended)
        assert f"note: training, pid {os.getpid()}, is running" in ended.out
        assert doctor("--repair").exit_code == 75
    assert checkpoint.exists()


def test_damaged_checkpoints_are_deleted_and_the_others_stay(workspace, doctor, dead_pid):
    whole, damaged = write_checkpoint(4), write_checkpoint(8)
    flip_bit(damaged, -1)
    Path(".checkpoints/lock").write_text(str(dead_pid))
    ended = doctor()
    assert ended.exit_code == 65
    assert f"damaged: {damaged}: damaged: sha256 of its tensors" in ended.out
    assert f"run `rm -f {damaged} " in ended.out
    assert f"a training that stopped after {whole.stem} (the lock, of pid {dead_pid}, is free); it goes on" in ended.out
    doctor("--repair")
    assert list(Path(".checkpoints/abc").iterdir()) == [whole]
    assert is_note(doctor())


def test_leftovers_of_killed_processes_are_deleted_but_not_those_of_living_ones(workspace, doctor, dead_pid):
    folders = [Path(name) for name in ("data/raw", "models", "reports", ".checkpoints/abc")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for pid in (dead_pid, os.getpid()):
            (folder / f".file.safetensors.{pid}.tmp").touch()
    gone, living = ([folder / f".file.safetensors.{pid}.tmp" for folder in folders] for pid in (dead_pid, os.getpid()))
    ended = doctor()
    assert is_note(ended)
    commands = commands_in(ended.out)
    assert [path for path in gone if f"rm -f {path}" not in commands] == []
    assert [path for path in living if str(path) in ended.out] == []
    doctor("--repair")
    assert [path for path in gone if path.exists()] == []
    assert all(path.exists() for path in living)
