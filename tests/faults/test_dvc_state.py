"""DVC's own state, broken as a kill or a full disk breaks it, and two of its commands at once: done to the real DVC."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from dvc_workspace import (
    commands_in,
    damage_object,
    in_shell,
    object_of,
    record,
    shell_environment,
    type_in,
    write_pipeline,
)

OUT, FOLDER = "models/generator.onnx", "reports/samples"
HEALTHY = "nothing is damaged: "
CONTENTS = {name: f"content of {name}" for name in (OUT, f"{FOLDER}/one.png", f"{FOLDER}/deeper/two.png")}
slow = pytest.mark.slow


@pytest.fixture
def workspace(tmp_path) -> Path:
    """A workspace in which two stages have run."""
    return record(tmp_path, {"train": [FOLDER], "export": [OUT]}, contents=CONTENTS)


def follow_doctor(folder: Path) -> None:
    """Type what the doctor prints until it is content; then everything is as it was, and DVC is content too."""
    for _ in range(5):
        ended = in_shell(folder, "dcgan doctor")
        if ended.out.startswith(HEALTHY):
            break
        for command in commands_in(ended.out):
            type_in(folder, command)
    assert ended.out.startswith(HEALTHY), ended
    assert {name: (folder / name).read_text() for name in CONTENTS} == CONTENTS
    assert "up to date" in in_shell(folder, "dvc status").out


@slow
def test_a_clone_and_another_commit_are_brought_back_by_the_doctors_one_command(workspace, tmp_path):
    remote = f"[core]\n    remote = store\n['remote \"store\"']\n    url = {tmp_path}.store\n"
    (workspace / ".dvc/config").write_text(remote)
    (workspace / ".gitignore").write_text(f"{OUT}\n{FOLDER}\nruns.txt\n.dvc/tmp\n.dvc/cache\n")
    git = "git -c user.name=a -c user.email=a"
    type_in(workspace, f"git init -q && git add . && {git} commit -qm first && dvc push")
    (workspace / "good" / OUT).write_text("second")
    type_in(workspace, f"dvc repro --force && {git} commit -qam second && git checkout -q HEAD~1")
    assert commands_in(in_shell(workspace, "dcgan doctor").out) == ["dvc checkout"]
    follow_doctor(workspace)
    clone = tmp_path / "clone"
    type_in(tmp_path, f"git clone -q {workspace} {clone}")
    assert commands_in(in_shell(clone, "dcgan doctor").out) == ["dvc pull"]
    follow_doctor(clone)


@slow
def test_a_forced_run_does_not_replace_a_damaged_object_but_the_doctor_does(workspace):
    """Which is why no message advises `dvc repro --force` alone."""
    damage_object(object_of(workspace, OUT))
    type_in(workspace, "dvc repro --force export")
    assert (workspace / OUT).read_text() != CONTENTS[OUT], "DVC put the damaged object in the new file's place"
    follow_doctor(workspace)


def test_of_two_repros_at_once_one_wins_and_the_other_changes_nothing(tmp_path):
    script = "import pathlib, time\npathlib.Path('runs.txt').open('a').write('ran\\n')\n"
    script += "while not pathlib.Path('go').exists(): time.sleep(0.05)\npathlib.Path('out').write_text('whole')\n"
    (tmp_path / "stage.py").write_text(script)
    write_pipeline(tmp_path, {"stage": {"cmd": "python stage.py", "deps": ["stage.py"], "outs": ["out"]}})
    command, environment = [Path(sys.executable).with_name("dvc"), "repro"], shell_environment()
    both = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    deadline = time.monotonic() + 60
    while all(each.poll() is None for each in both):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    loser, winner = sorted(both, key=lambda each: each.poll() is None)
    assert winner.poll() is None, "the loser gave up while the other's stage was running"
    assert loser.returncode != 0
    (tmp_path / "go").touch()
    errors = loser.communicate()[1]
    assert "busy" in errors or "lock" in errors
    assert "Traceback" not in errors
    winner.communicate(timeout=60)
    assert winner.returncode == 0
    assert (tmp_path / "runs.txt").read_text() == "ran\n"
    assert (tmp_path / "out").read_text() == "whole"
    assert in_shell(tmp_path, "dcgan doctor").out.startswith(HEALTHY)
