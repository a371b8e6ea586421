"""Commands that are printed between backticks, typed in a shell as by a user without an activated environment."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.error import HTTPError, URLError

from support import free_port
from tracking_store import wait_for

RUNS = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=tiny"
SERVERS = {"mlflow ui": ("MLFLOW_PORT", RUNS), "dcgan serve": ("PORT", "/v2/health/ready")}
"""What gives a server another port than its usual one, which may be taken here, and what it is asked."""


def printed_in(text: str) -> list[str]:
    """The commands, in the order in which they are printed."""
    return re.findall(r"`([^`]+)`", text)


def works(command: str, folder: Path, *, after: str = "true") -> bool:
    """Whether a command, typed in `folder` after another, succeeds; a server, whether it answers."""
    line = ["bash", "-c", f"{after} && exec {command}"]
    if command not in SERVERS:
        return subprocess.run(line, cwd=folder, env=user_environment(), check=False).returncode == 0
    variable, page = SERVERS[command]
    port = free_port()
    environment = user_environment() | {variable: str(port)}
    with subprocess.Popen(line, cwd=folder, env=environment, start_new_session=True) as server:
        try:
            wait_for(lambda: server.poll() is not None or _answers(f"http://127.0.0.1:{port}{page}"))
            return server.poll() is None
        finally:
            os.killpg(server.pid, signal.SIGKILL)


def user_environment() -> dict[str, str]:
    """The tester's own without a virtual environment, and with a server that starts soon."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "MAKE"))}
    own = str(Path(sys.executable).parent)
    path = os.pathsep.join(each for each in ours["PATH"].split(os.pathsep) if each != own)
    soon = {"MLFLOW_WORKERS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return ours | soon | {"PATH": path}


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except HTTPError:
        raise
    except URLError:
        return False
