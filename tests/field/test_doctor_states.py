"""`dcgan doctor` where people meet it: in a merge conflict, and with DVC configured for the user or for the system."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dvc_workspace import CONFIG, Ended, commands_in, damage_object, enter_copy, in_shell, record, type_in

HEALTHY = "nothing is damaged: "
MODEL = "models/generator.safetensors"
BROKEN = "<<<<<<< HEAD\n"
GIT = "git -c user.name=a -c user.email=a@localhost"
Doctor = Callable[[], Ended]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in git in which every stage has run."""
    folder = record(tmp_path_factory.mktemp("finished"), {"train": [MODEL]}, contents={MODEL: "weights"})
    (folder / ".dvc/config").write_text(CONFIG.replace("    no_scm = true\n", ""))
    type_in(folder, f"git init -q -b main && git add dvc.lock dvc.yaml && {GIT} commit -qm first")
    return folder


@pytest.fixture
def workspace(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy; it is the current folder."""
    return enter_copy(finished, tmp_path / "workspace", monkeypatch)


@pytest.fixture
def doctor(dcgan: Callable[..., Ended]) -> Doctor:
    return lambda: dcgan("doctor")


# dvc.lock and git


def change_lock(folder: Path, digit: str) -> None:
    """Commit another hash of the same out."""
    lock = folder / "dvc.lock"
    lock.write_text(lock.read_text().replace("size: 7", f"size: {digit}"))
    type_in(folder, f"{GIT} commit -qam {digit}")


def start(folder: Path, command: str) -> None:
    """Let both branches change dvc.lock, and git stop in the middle of bringing them together."""
    type_in(folder, "git checkout -qb other")
    change_lock(folder, "8")
    type_in(folder, "git checkout -q main")
    change_lock(folder, "9")
    assert in_shell(folder, f"{GIT} {command}").exit_code == 1


def apply_stash(folder: Path) -> None:
    lock = (folder / "dvc.lock").read_text()
    (folder / "dvc.lock").write_text(lock.replace("size: 7", "size: 8"))
    type_in(folder, f"{GIT} stash -q")
    change_lock(folder, "9")
    assert in_shell(folder, f"{GIT} stash pop").exit_code == 1


def delete_and_change(folder: Path) -> None:
    type_in(folder, "git checkout -qb other")
    change_lock(folder, "8")
    type_in(folder, f"git checkout -q main && git rm -q dvc.lock && {GIT} commit -qm gone")
    assert in_shell(folder, f"{GIT} merge other").exit_code == 1
    (folder / "dvc.lock").write_text(BROKEN)


def commit_broken(folder: Path) -> None:
    (folder / "dvc.lock").write_text(BROKEN)
    type_in(folder, f"{GIT} commit -qam broken")


def stage_broken(folder: Path) -> None:
    (folder / "dvc.lock").write_text(BROKEN)
    type_in(folder, "git add dvc.lock")


REMAKE = "rm -rf dvc.lock && dvc repro"
STATES = {
    "merge": (lambda folder: start(folder, "merge other"), "git checkout HEAD dvc.lock"),
    "rebase": (lambda folder: start(folder, "rebase other"), "git checkout HEAD dvc.lock"),
    "cherry-pick": (lambda folder: start(folder, "cherry-pick other"), "git checkout HEAD dvc.lock"),
    "stash pop": (apply_stash, "git checkout HEAD dvc.lock"),
    "markers added": (stage_broken, "git checkout HEAD dvc.lock"),
    "deleted here, changed there": (delete_and_change, REMAKE),
    "markers committed": (commit_broken, REMAKE),
    "written over": (lambda folder: (folder / "dvc.lock").write_text(BROKEN), "git checkout dvc.lock"),
}

slow = pytest.mark.slow
CASES = [pytest.param(*case, id=name, marks=() if name == "merge" else slow) for name, case in STATES.items()]


@pytest.mark.parametrize(("spoil", "command"), CASES)
def test_in_every_state_of_git_the_command_that_is_printed_brings_a_readable_dvc_lock(
    workspace, doctor, spoil, command
):
    spoil(workspace)
    ended = doctor()
    assert (ended.exit_code, commands_in(ended.out)) == (65, [command])
    type_in(workspace, command)
    after = doctor()
    assert "damaged: " not in after.out.replace(HEALTHY, "")
    for each in commands_in(after.out):
        type_in(workspace, each)
    assert doctor().out.startswith(HEALTHY)


def test_a_conflict_in_dvc_yaml_is_the_users_to_resolve(workspace, doctor):
    Path("dvc.yaml").write_text(f"{BROKEN}{Path('dvc.yaml').read_text()}")
    ended = doctor()
    assert (ended.exit_code, ended.err.count("\n")) == (65, 1)
    assert "dvc.yaml" in ended.err
    assert "correct it, then run `dcgan doctor` again" in ended.err


@pytest.mark.parametrize("has_git", [True, False])
def test_the_command_that_makes_a_dvc_repository_fits_the_folder(tmp_path, monkeypatch, doctor, has_git):
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text("stages: {}")
    if has_git:
        type_in(tmp_path, "git init -q")
    ended = doctor()
    assert ended.exit_code == 64
    type_in(tmp_path, ended.err.partition("run `")[2].partition("`")[0])
    assert doctor().out.startswith(HEALTHY)


@slow
@pytest.mark.parametrize(
    ("config", "command"),
    [
        ("['remote \"a\"']\n    url = {0}/a\n", "dvc pull --remote a"),
        ("[core]\n    remote = a\n['remote \"a\"']\n    url = {0}/a\n", "dvc pull"),
        ("['remote \"a\"']\n    url = {0}/a\n['remote \"b\"']\n    url = {0}/b\n", "dvc repro"),
    ],
)
def test_what_was_pushed_is_pulled_from_a_remote_that_dvc_knows_which(workspace, doctor, tmp_path, config, command):
    Path(".dvc/config.local").write_text(config.format(tmp_path))
    type_in(workspace, "dvc push --remote a")
    shutil.rmtree("models")
    shutil.rmtree(".dvc/cache")
    assert commands_in(doctor().out) == [command]
    type_in(workspace, command)
    assert doctor().out.startswith(HEALTHY)


# DVC's configuration outside the workspace


@pytest.fixture(params=["GLOBAL", "SYSTEM"])
def elsewhere(request, workspace, tmp_path, monkeypatch) -> Path:
    """A cache that the configuration of the user or of the system names, with another project's objects."""
    config = tmp_path / "config"
    monkeypatch.setenv(f"DVC_{request.param}_CONFIG_DIR", str(config))
    config.mkdir()
    (config / "config").write_text(f"[cache]\n    dir = {tmp_path}/shared\n")
    Path(".dvc/cache").rename(tmp_path / "shared")
    return tmp_path / "shared"


def object_in(cache: Path) -> Path:
    (path,) = [path for path in cache.glob("files/md5/*/*") if path.read_bytes() == b"weights"]
    return path


def test_the_cache_that_dvc_uses_is_examined_whoever_configured_it(elsewhere, doctor):
    assert doctor().out.startswith(HEALTHY)
    damage_object(object_in(elsewhere))
    ended = doctor()
    assert ended.exit_code == 65
    assert f"object of DVC's cache, {Path('..', 'shared')}" in ended.out


def test_the_objects_of_other_projects_in_a_shared_cache_are_left_alone(elsewhere, dcgan):
    others = elsewhere / "files/md5/00" / f"{'0':0<30}"
    others.parent.mkdir()
    others.write_text("damaged, but not ours to delete")
    assert dcgan("doctor", "--repair").out.startswith(HEALTHY)
    assert others.exists()


def test_a_hard_link_as_dvcs_lock_is_known_at_work_and_a_file_from_before_it_is_removed(workspace, dcgan):
    """As `core.hardlink_lock` has it, on file systems without flock."""
    from dvc.repo import Repo

    Path(".dvc/config.local").write_text("[core]\n    hardlink_lock = true\n")
    (command,) = commands_in(dcgan("doctor").out)
    type_in(workspace, command)
    with Repo().lock:
        ended = dcgan("doctor", "--repair")
        assert ended.exit_code == 75
        assert "DVC" in ended.err
    assert dcgan("doctor", "--repair").out.startswith(HEALTHY)
