"""A PostgreSQL server on this machine with new and empty databases, if its programs are installed."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from support import free_port
from tracking_store import wait_for

USER, PASSWORD = "mlflow", "p@ss/w#rd"
SETTINGS = ("listen_addresses=127.0.0.1", "fsync=off", "max_connections=50")


def programs() -> Path | None:
    """The folder of initdb and postgres, of the newest version: Debian does not put them on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).resolve().parent if named else None


@contextmanager
def postgres_server(programs: Path) -> Iterator[Callable[[str], str]]:
    """What creates a database by its name and gives its address, while the block lasts."""
    # It refuses to run as root, and a test's own folder is nobody else's to read.
    owner = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    port = free_port()
    password = folder / "password"
    password.write_text(PASSWORD)
    if owner:
        for path in (folder, password):
            shutil.chown(path, owner)
    data, options = folder / "data", {"user": owner, "cwd": folder, "capture_output": True}
    init = ("--pgdata", data, "--username", USER, "--auth", "scram-sha-256", "--pwfile", password, "--no-sync")
    subprocess.run([programs / "initdb", *init], check=True, **options)
    settings = [f"-c{setting}" for setting in (*SETTINGS, f"port={port}", f"unix_socket_directories={folder}")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([programs / "postgres", "-D", data, *settings], user=owner, stdout=log, stderr=log)
    environment = os.environ | {"PGPASSWORD": PASSWORD}
    login = ("--host", "127.0.0.1", "--port", str(port), "--username", USER)

    def answers() -> bool:
        assert server.poll() is None, (folder / "log").read_text()
        return subprocess.run([programs / "pg_isready", *login], check=False, capture_output=True).returncode == 0

    def new_database(name: str) -> str:
        subprocess.run([programs / "createdb", *login, name], check=True, env=environment, capture_output=True)
        return f"postgresql://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/{name}"

    try:
        wait_for(answers)
        yield new_database
    finally:
        server.send_signal(signal.SIGINT)  # it does not wait until its clients have gone
        server.wait(60)
        shutil.rmtree(folder)
