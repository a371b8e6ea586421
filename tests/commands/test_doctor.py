"""`dcgan doctor` finds every kind of damage and names the command that repairs it."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from damage import flip_bit
from dcgan import cli
from dcgan.system.locks import exclusive
from dvc_workspace import CONFIG, Ended, commands_in, damage_object, in_shell, object_of, record

DATASET, MODEL, FOLDER = "data/dataset.safetensors", "models/generator.safetensors", "data/raw"
NESTED = f"{FOLDER}/deeper/labels.gz"
STAGES = {"download": [FOLDER], "validate": [DATASET, "reports/validation.json"], "train": [MODEL]}
HEALTHY = "no findings: what dvc.lock lists, DVC's copies of it, checkpoints and locks are whole\n"
Doctor = Callable[..., Ended]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which every stage has run."""
    folder = tmp_path_factory.mktemp("finished")
    data = b"images" * 10
    report = {"dataset": "digits", "dataset_sha256": hashlib.sha256(data).hexdigest()}
    contents = {
        f"{FOLDER}/images.gz": b"raw images",
        NESTED: b"raw labels",
        DATASET: data,
        "reports/validation.json": json.dumps(report).encode(),
        MODEL: b"weights" * 10,
    }
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return record(folder, STAGES)


@pytest.fixture
def workspace(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to damage; it is the current folder."""
    folder = tmp_path / "workspace"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    return folder


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
def other_pid() -> Iterator[int]:
    """A living process that has nothing to do with DVC."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


def is_note(ended: Ended) -> bool:
    """Whether there was something to say, but no damage."""
    return ended.exit_code == 0 and ended.err == "" and ended.out.startswith("note: ") and "damaged" not in ended.out


def damaged_paths(ended: Ended) -> list[str]:
    assert ended.exit_code == 65
    assert ended.err.startswith("error: ")
    return [line.split(": ")[1] for line in ended.out.splitlines() if line.startswith("damaged: ")]


def write_rwlock(content: object) -> Path:
    path = Path(".dvc/tmp/rwlock")
    path.parent.mkdir(exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def write_checkpoint(step: int, *, sha256: str | None = None) -> Path:
    path = Path(f".checkpoints/abc/step-{step:08d}.safetensors")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"state" * step)
    path.with_suffix(".sha256").write_text(sha256 or hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_a_whole_workspace_has_no_findings_and_nothing_of_it_is_touched(workspace, doctor):
    Path(".checkpoints").mkdir()
    Path(".checkpoints/lock").write_text("99999999")  # as a finished training leaves it
    files = {path: path.stat().st_mtime_ns for path in workspace.rglob("*") if ".dvc/tmp" not in str(path)}
    assert doctor() == doctor("--repair") == (0, HEALTHY, "")
    assert {path: path.stat().st_mtime_ns for path in workspace.rglob("*") if ".dvc/tmp" not in str(path)} == files


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


@pytest.mark.parametrize("content", ["", "\0\0\0", "stages: [", "- 1", "\x80", "hash", "key"])
def test_a_broken_dvc_lock_is_named_with_the_command_that_brings_it_back(workspace, doctor, content):
    lock = Path("dvc.lock")
    whole = lock.read_text()
    cut = {"hash": whole[: whole.rindex("md5: ") + 20], "key": whole[: whole.rindex("path: ") + 3]}
    lock.write_bytes(cut.get(content, content).encode("latin-1"))
    ended = doctor()
    assert damaged_paths(ended) == ["dvc.lock"]
    assert commands_in(ended.out) == ["rm -rf dvc.lock && dvc repro"]


def test_a_dvc_lock_that_git_has_is_brought_back_from_there(workspace, doctor):
    Path(".dvc/config").write_text(CONFIG.replace("    no_scm = true\n", ""))
    subprocess.run("git init -q && git add dvc.lock", shell=True, check=True)
    for spoil in (lambda: Path("dvc.lock").write_text(""), lambda: Path("dvc.lock").unlink()):
        spoil()
        (command,) = commands_in(doctor().out)
        subprocess.run(command, shell=True, check=True, capture_output=True)
        assert doctor() == (0, HEALTHY, "")


def test_what_is_missing_is_one_note_with_what_brings_it_back(workspace, doctor):
    for name in ("data", "models", "reports"):
        shutil.rmtree(name)
    ended = doctor()
    assert is_note(ended)
    assert "4 outs are missing, as data/raw" in ended.out
    assert commands_in(ended.out) == ["dvc checkout"]
    shutil.rmtree(".dvc/cache")
    assert commands_in(doctor().out) == ["dvc repro"]
    Path(".dvc/config").write_text(CONFIG + "['remote \"store\"']\n    url = /nowhere\n")
    assert commands_in(doctor().out) == ["dvc pull"]
    Path("dvc.lock").unlink()
    assert commands_in(doctor().out) == ["dvc repro"]


def test_what_is_of_another_commit_is_one_note_with_dvc_checkout_and_of_a_new_run_with_dvc_repro(workspace, doctor):
    first = Path("dvc.lock").read_text()
    for name in (MODEL, DATASET):
        Path("good", name).write_bytes(b"of the second commit")
    Path("good/reports/validation.json").write_text("{}")
    assert in_shell(workspace, "dvc repro --quiet --force").exit_code == 0
    Path("dvc.lock").write_text(first)
    ended = doctor()
    assert is_note(ended)
    assert commands_in(ended.out) == ["dvc checkout"]
    Path(MODEL).write_bytes(b"of a run that dvc does not know")
    assert commands_in(doctor().out) == ["dvc repro"]
    assert doctor("--repair").out == doctor().out, "nothing is lost"
    assert Path(MODEL).read_bytes() == b"of a run that dvc does not know"


@pytest.mark.parametrize("out", [MODEL, NESTED, FOLDER])
@pytest.mark.parametrize("here", ["whole", "restored", "missing", "new"])
def test_a_damaged_object(workspace, doctor, out, here):
    """It is stored anew from a whole file; else it goes, with the file that DVC made of it, and nothing else does."""
    path = object_of(workspace, out)
    whole = path.read_bytes()
    damage_object(path)
    listed = FOLDER if out.startswith(FOLDER) else out
    file = Path(NESTED if out == FOLDER else out)
    if here != "whole":
        file.unlink()
    if here == "new" or (here, out) == ("restored", FOLDER):  # of a damaged listing, DVC makes nothing
        file.write_bytes(b"new")
    elif here == "restored":
        shutil.copyfile(path, file)
    before = {each for each in workspace.rglob("*") if each.is_file()} - set(Path(".dvc/tmp").rglob("*"))
    ended = doctor()
    assert damaged_paths(ended) == [listed]
    assert str(path.relative_to(workspace)) in ended.out
    assert doctor("--repair").exit_code == 0
    gone = {each for each in before if not each.exists()}
    if here == "whole":
        assert path.read_bytes() == whole
        assert path.stat().st_mode & 0o777 == 0o444
        assert doctor() == (0, HEALTHY, "")
    elif here == "restored" and out != FOLDER:
        assert gone == {path, workspace / file}
    else:
        assert gone == {path}
    if here != "whole":
        stage = next(stage for stage, outs in STAGES.items() if listed in outs)
        assert commands_in(ended.out)[0].endswith(f" && dvc repro {stage}")


def test_damage_of_an_object_that_no_out_lists_is_found_too(workspace, doctor):
    path = object_of(workspace, MODEL)
    stray = path.with_name("0" * 30)
    shutil.copyfile(path, stray)
    assert damaged_paths(doctor()) == [str(stray.relative_to(workspace))]
    doctor("--repair")
    assert not stray.exists()
    assert doctor() == (0, HEALTHY, "")


def test_objects_that_the_cache_lost_are_put_back_before_they_cost_a_training(workspace, doctor):
    paths = [object_of(workspace, out) for out in (MODEL, FOLDER, NESTED)]
    shutil.rmtree(".dvc/cache")
    assert is_note(doctor())
    assert doctor("--repair").exit_code == 0
    assert all(path.is_file() for path in paths)
    assert doctor() == (0, HEALTHY, "")


def test_the_cache_and_the_workspace_may_be_elsewhere_in_the_repository(workspace, doctor, monkeypatch):
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


def test_a_file_that_changed_without_its_time_is_damage(workspace, doctor):
    assert in_shell(workspace, "dvc status --quiet").exit_code == 0  # looks at the files, and remembers
    for name in (MODEL, NESTED):
        before = Path(name).stat()
        flip_bit(Path(name), 0)
        os.utime(name, ns=(before.st_atime_ns, before.st_mtime_ns))
    ended = doctor()
    assert damaged_paths(ended) == [FOLDER, MODEL]
    assert commands_in(ended.out)[1] == f"rm -rf {MODEL} && dvc checkout {MODEL}"
    assert doctor("--repair").exit_code == 0
    assert in_shell(workspace, "dvc checkout").exit_code == 0
    assert doctor() == (0, HEALTHY, "")


def test_a_data_set_that_validate_did_not_let_through_is_damage(workspace, doctor):
    flip_bit(Path(DATASET), 5)
    ended = doctor()
    assert damaged_paths(ended) == [DATASET]
    assert hashlib.sha256(Path(DATASET).read_bytes()).hexdigest() in ended.out
    Path("reports/validation.json").write_text("{")
    assert damaged_paths(doctor()) == ["reports/validation.json"]


@pytest.mark.parametrize("content", ["", '{"write": {', '{"write": []}', "[]", '{"read": {"a": [{"pid": "x"}]}}'])
def test_a_broken_lock_of_dvcs_files_is_deleted_first(workspace, doctor, content):
    path = write_rwlock(content)
    damage_object(object_of(workspace, MODEL))
    ended = doctor()
    assert damaged_paths(ended) == [".dvc/tmp/rwlock", MODEL]
    assert commands_in(ended.out)[0] == "rm -rf .dvc/tmp/rwlock"
    assert doctor("--repair").exit_code == 0
    assert not path.exists()
    assert doctor() == (0, HEALTHY, "")


def test_a_lock_whose_number_was_given_out_again_is_damage_and_one_of_a_process_that_is_gone_is_not(
    workspace, doctor, other_pid
):
    write_rwlock({"write": {"a": {"pid": 99999999, "cmd": "dvc repro"}}})
    assert doctor() == (0, HEALTHY, "")
    write_rwlock({"read": {"a": [{"pid": other_pid, "cmd": "dvc repro"}]}})
    ended = doctor()
    assert damaged_paths(ended) == [".dvc/tmp/rwlock"]
    assert str(other_pid) in ended.out
    assert doctor("--repair").exit_code == 0
    assert doctor() == (0, HEALTHY, "")


@pytest.mark.parametrize("command", ["dvc repro", "editor --with dvc"])
def test_nothing_is_repaired_while_dvc_runs(workspace, doctor, command):
    script = "import time; print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, *command.split()], stdout=subprocess.PIPE) as process:
        process.stdout.readline()  # until then it has its parent's arguments
        path = write_rwlock({"write": {"a": {"pid": process.pid, "cmd": command}}})
        damage_object(object_of(workspace, MODEL))
        damaged = object_of(workspace, MODEL).read_bytes()
        assert f"note: DVC, pid {process.pid}, is running" in doctor().out
        ended = doctor("--repair")
        process.kill()
    assert ended.exit_code == 75
    assert str(process.pid) in ended.err
    assert path.exists()
    assert object_of(workspace, MODEL).read_bytes() == damaged


def test_dvcs_main_lock_counts_while_it_is_held(workspace, doctor):
    with Path(".dvc/tmp/lock").open("w") as lock:
        lock.write(f" {os.getpid()}\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert f"note: DVC, pid {os.getpid()}, is running" in doctor().out


def test_a_running_training_is_told_and_its_checkpoints_are_left_alone(workspace, doctor):
    checkpoint = write_checkpoint(4, sha256="of half a file")
    with exclusive(Path(".checkpoints/lock")):
        ended = doctor()
        assert is_note(ended)
        assert f"training, pid {os.getpid()}" in ended.out
        assert doctor("--repair").exit_code == 75
    assert checkpoint.exists()


def test_damaged_checkpoints_are_deleted_and_the_others_stay(workspace, doctor):
    whole, damaged, hashless = write_checkpoint(4), write_checkpoint(8), write_checkpoint(12)
    flip_bit(damaged, 3)
    hashless.with_suffix(".sha256").unlink()
    ended = doctor()
    assert damaged_paths(ended) == [str(hashless), str(damaged)]
    assert f"stopped after {whole.stem}" in ended.out
    doctor("--repair")
    assert sorted(Path(".checkpoints/abc").iterdir()) == [whole, whole.with_suffix(".sha256")]
    assert is_note(doctor())


def test_old_temporary_files_are_deleted_and_young_ones_are_not(workspace, doctor):
    folders = [Path(name) for name in ("data", "models", "reports", ".checkpoints/abc")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("old", "young"):
            (folder / f".{name}.json.0123abcd.tmp").touch()
        os.utime(folder / ".old.json.0123abcd.tmp", (0, 0))
    ended = doctor()
    assert is_note(ended)
    assert {f"rm -rf {folder}/.old.json.0123abcd.tmp" for folder in folders} <= set(commands_in(ended.out))
    doctor("--repair")
    assert [path.name for folder in folders for path in folder.glob("*.tmp")] == [".young.json.0123abcd.tmp"] * 4
