"""The stages that make the data, killed at any moment: the next run completes, and no file is ever torn."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tiny_workspace import ROOT, stage_environment, write_params

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
KILLS = 6
"""Of each stage."""
FILES = {"download": 4, "validate": 4 + 2}
"""How many there are after a stage."""

ON_A_SLOW_DISK = """
import runpy, sys, time
from dcgan.system import files

def write_slowly(path, content):
    print("writing", flush=True)
    def write(file):
        for start in range(0, len(content), len(content) // 5 + 1):
            file.write(content[start : start + len(content) // 5 + 1])
            file.flush()
            time.sleep(0.05)
    files.write_atomically(path, write)

files.write_bytes = write_slowly
runpy.run_path(sys.argv.pop(), run_name="__main__")
"""


def run(stage: str, folder: Path, *, kill_at: float | None = None) -> int:
    """The exit code of a stage, which is killed so many seconds after it began to write its first file."""
    command = [sys.executable, "-c", ON_A_SLOW_DISK, ROOT / "pipeline" / f"{stage}.py"]
    options = {"cwd": folder, "env": stage_environment(folder), "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **options) as process:
        if kill_at is not None:
            process.stdout.readline()
            time.sleep(kill_at)
            process.kill()
        process.communicate()
    return process.returncode


def files_in(folder: Path) -> dict[str, bytes]:
    """What the stages left under final names, but for the pages for people, whose bytes differ every run."""
    files = (path for name in ("data", "reports") for path in (folder / name).rglob("*") if path.is_file())
    final = (path for path in files if not path.name.endswith(".tmp") and "data_docs" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in final}


@pytest.mark.parametrize("stage", ["download", "validate"])
def test_after_a_kill_every_file_is_whole_or_absent_and_the_next_run_completes(tmp_path, stage):
    write_params(tmp_path)
    if stage == "validate":
        assert run("download", tmp_path) == 0
    raw = files_in(tmp_path)
    assert run(stage, tmp_path) == 0
    expected, rng = files_in(tmp_path), random.Random(0)
    assert len(expected) == FILES[stage]
    for number in range(KILLS):
        for name in expected.keys() - raw.keys() if number % 2 else ():  # over older files, and on the way to the first
            (tmp_path / name).unlink(missing_ok=True)
        assert run(stage, tmp_path, kill_at=rng.uniform(0, 0.3 * len(expected.keys() - raw.keys()))) in {-9, 0}
        assert files_in(tmp_path).items() <= expected.items()
    assert run(stage, tmp_path) == 0
    assert files_in(tmp_path) == expected
