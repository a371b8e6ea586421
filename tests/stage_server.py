"""Stage scripts and commands as processes that start at once: forked from one that has imported what they import.

Importing PyTorch takes seconds, in which a fault would hit nothing of ours. A forked stage is a process of its own, in
a session of its own: it is killed, stopped and waited for like any other. What it prints goes to files beside its
folder, which may be a full disk. Unless it is to have MLflow, it runs as on a bare node, where that and more is absent.

    server = StageServer()
    stage = server.start("train", folder)
    os.kill(stage.pid, signal.SIGKILL)
    stage.wait()
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Self

from absent import hiding

TESTS = Path(__file__).parent
ABSENT = ("mlflow", "dvc", "great_expectations", "pydantic")
"""What a bare GPU node does not have."""
PIPELINE = TESTS.parent / "pipeline"
STAGES = ("train", "train_classifier", "train_witness", "evaluate", "export")
IMPORTED_LATE = (
    "dcgan.commands.evaluate", "dcgan.commands.project", "matplotlib.pyplot", "onnxruntime", "onnxscript",
    "sklearn.calibration", "sklearn.linear_model", "sklearn.metrics", "sklearn.pipeline", "torch._dynamo",
    "torch.onnx._internal.exporter._compat",
)  # fmt: skip
"""What these stages, and commands, import within a function."""


@dataclass
class Ended:
    """How a stage ended: `returncode` is negative for a signal, as subprocess has it."""

    returncode: int
    stdout: str
    stderr: str


class RunningStage:
    """A stage at work."""

    def __init__(self, server: "StageServer", pid: int, folder: Path) -> None:
        self.pid, self._server, self._folder = pid, server, folder

    def has_ended(self) -> bool:
        """Whether it is a zombie by now."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the stage and all its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def wait(self) -> Ended:
        """Wait for its end."""
        status = self._server.ask({"wait": self.pid})
        outputs = (Path(f"{self._folder}.{name}").read_text() for name in ("stdout", "stderr"))
        return Ended(os.waitstatus_to_exitcode(status), *outputs)


class StageServer:
    """Forks stages, which find none of ABSENT; with `with_mlflow` they find everything."""

    def __init__(self, *, with_mlflow: bool = False) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        self._process = subprocess.Popen(
            [sys.executable, __file__, *(["--mlflow"] if with_mlflow else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Forking a process whose OpenMP threads have started is not safe: there must be none.
            env=inherited | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "MLFLOW_DISABLE_TELEMETRY": "true"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def ask(self, request: dict) -> int:
        """Send a request to the process that forks, and return its answer."""
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def start(self, name: str, folder: Path, *arguments: object, planted: str = "") -> RunningStage:
        """Start a stage, a script or `dcgan` in `folder`; `planted` is code that runs in its process first."""
        argv = [name, *map(str, arguments)]
        return RunningStage(self, self.ask({"argv": argv, "folder": str(folder), "planted": planted}), folder)

    def run(self, name: str, folder: Path, *arguments: object, planted: str = "") -> Ended:
        """Run it to its end."""
        return self.start(name, folder, *arguments, planted=planted).wait()


def _serve(*, with_mlflow: bool) -> None:
    if not with_mlflow:
        exec(hiding(ABSENT), {})
    for stage in STAGES:
        runpy.run_path(str(PIPELINE / f"{stage}.py"), run_name="preloaded")
    for module in IMPORTED_LATE:
        import_module(module)
    if with_mlflow:
        import mlflow
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, answer = os.waitpid(request["wait"], 0)
        else:
            answer = os.fork() or _run(**request)
        print(answer, flush=True)


def _run(argv: list[str], folder: str, planted: str) -> None:
    """Be the stage or command, and never return."""
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        os.environ["DVC_ROOT"] = folder
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(f"{folder}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
        sys.argv = argv
        exec(planted, {})
        if argv[0] == "dcgan":
            runpy.run_module("dcgan.cli", run_name="__main__")
        else:
            script = Path(argv[0]) if argv[0].endswith(".py") else PIPELINE / f"{argv[0]}.py"
            sys.path.insert(0, str(script.parent))
            runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.path[:0] = [str(TESTS), str(PIPELINE)]
    _serve(with_mlflow="--mlflow" in sys.argv)
