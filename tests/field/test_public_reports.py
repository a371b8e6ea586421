"""Situations that users of the same tools report in public: what surrounds a command, streams and environment."""

import os
import shlex
import subprocess
import sys

import pytest

from dvc_workspace import in_shell
from tiny_workspace import new_workspace, run_stage, stage_command, stage_environment, weights_in

DCGAN = [sys.executable, "-m", "dcgan"]
WORK = """
import pathlib
from dcgan.system.errors import BadDataError
from dcgan.system.exit import run_stage
from dcgan.tracking.progress import ProgressBar

def main(*, fails: bool = False) -> None:
    with pathlib.Path("result").open("w") as result, ProgressBar("work", end=2) as bar:
        bar.log_event("slow", "a warning above the bar")
        bar.advance_to(2)
        print("a line of output")
        result.write("the result")
    if fails:
        raise BadDataError("what is wrong")

run_stage(main)
"""


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in an environment that has some more variables."""
    everything = os.environ | environment
    return subprocess.run(command, env=everything, capture_output=True, text=True, check=False, timeout=120)


# Streams


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("option", "exit_code"), [("", 0), ("--fails", 65)])
def test_work_without_standard_streams_is_done_and_its_files_hold_nothing_else(tmp_path, closed, option, exit_code):
    """As a cron job or a daemon starts it; a progress bar found no stream, and files got the streams' numbers."""
    (tmp_path / "work.py").write_text(WORK)
    command = f"{sys.executable} work.py {option} {closed}"
    assert in_shell(tmp_path, command).exit_code == exit_code
    assert (tmp_path / "result").read_text() == "the result"


@pytest.mark.slow
def test_a_training_without_standard_streams_leaves_the_weights_of_one_with_them(tmp_path):
    folders = tmp_path / "with", tmp_path / "without"
    for folder in folders:
        folder.mkdir()
    with_streams, without = map(new_workspace, folders)
    assert run_stage("train", with_streams).returncode == 0
    command = f"{shlex.join(stage_command('train'))} <&- >&- 2>&-"
    environment = stage_environment(without)
    assert subprocess.run(command, shell=True, cwd=without, env=environment, check=False).returncode == 0
    assert weights_in(without) == weights_in(with_streams)


def test_a_name_that_the_terminal_cannot_write_ends_no_command(tmp_path, model):
    out = tmp_path / "größe.npy"
    command = ["generate", "--model", str(model), "--count", "1", "--out", str(out)]
    done = run(*DCGAN, *command, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert r"gr\xf6\xdfe.npy: 1 digit" in done.stdout
    assert out.is_file()


# Python and its environment


def test_a_notebooks_backend_of_matplotlib_hinders_no_stage_and_stays_where_it_works():
    """`!dvc repro` in a notebook: the kernel's variable reaches the stages, which run in another environment."""
    code = "import dcgan, matplotlib.figure, os; print(os.environ.get('MPLBACKEND'))"
    foreign, own, plain = "module://not_installed.backend", "module://json.backend", "svg"
    told = [run(sys.executable, "-c", code, MPLBACKEND=backend).stdout.strip() for backend in (foreign, plain)]
    assert told == ["None", plain]
    kept = run(sys.executable, "-c", "import dcgan, os; print(os.environ['MPLBACKEND'])", MPLBACKEND=own)
    assert kept.stdout.strip() == own


def test_commands_work_without_docstrings_and_as_a_module(model):
    """PYTHONOPTIMIZE=2, as small images set it; and `python -m`, where scripts are not on the PATH."""
    done = run(*DCGAN, "info", "--model", str(model), PYTHONOPTIMIZE="2")
    assert (done.returncode, done.stderr) == (0, "")
    helped = run(*DCGAN, "serve", "--help", PYTHONOPTIMIZE="2")
    assert "Serve digits over HTTP." in helped.stdout


def test_a_deleted_folder_is_said_to_be_that(tmp_path):
    (tmp_path / "branch").mkdir()
    command = f"cd branch && rmdir ../branch && {shlex.join(DCGAN)} sync"
    ended = in_shell(tmp_path, command)
    assert ended.exit_code == 74
    assert ended.err.startswith("error: the current folder was deleted")
