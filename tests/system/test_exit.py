"""Standard output whose reader leaves, and broken connections, in real processes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

STAGE = """
import pathlib, socket, sys
from dcgan.system.exit import run_stage

def main(*, lines: int = 1, socket_breaks: bool = False, reads: str = "") -> None:
    for _ in range(lines):
        print("a line of output")
    print("a warning", file=sys.stderr)
    if socket_breaks:
        ours, theirs = socket.socketpair()
        theirs.close()
        ours.sendall(b"request")
    if reads:
        open(reads)
    pathlib.Path("done").touch()

run_stage(main)
"""


def run(folder: Path, options: str, redirection: str) -> tuple[int, str]:
    """The stage's exit code and what the whole pipeline wrote to standard error."""
    script = folder / "stage.py"
    script.write_text(STAGE)
    command = f"{sys.executable} {script} {options} {redirection}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("lines", [1, 100_000])  # more than a pipe holds
def test_work_whose_reader_leaves_is_done_and_succeeds(tmp_path, lines):
    assert run(tmp_path, f"--lines {lines}", "| head -0") == (0, "a warning\n")
    assert (tmp_path / "done").exists()
    assert run(tmp_path, f"--lines {lines}", "2>&1 | head -0") == (0, "")


def test_work_without_any_output_succeeds(tmp_path):
    assert run(tmp_path, "", ">&- 2>&-") == (0, "")
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("redirection", ["", "| head -0"])
@pytest.mark.parametrize(
    ("option", "told"), [("--socket-breaks", "error: .*Broken pipe"), ("--reads missing.txt", r"error: missing\.txt: ")]
)
def test_a_broken_connection_and_a_file_that_cannot_be_read_are_errors_with_their_line(
    tmp_path, option, told, redirection
):
    code, errors = run(tmp_path, option, redirection)
    assert code == 74
    assert re.match(told, errors.splitlines()[-1])
    assert not (tmp_path / "done").exists()
