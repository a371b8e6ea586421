"""Passwords planted in every address that the project takes; none may come out anywhere."""

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import pytest

from dcgan.config.params_file import load_params
from dcgan.data import files as mnist_files
from dcgan.data.files import download_files, fetch
from dcgan.system.errors import BadDataError, UnavailableError, UsageError
from dcgan.system.redaction import holds_secret, redacted
from dcgan.tracking.download import download_model
from dcgan.tracking.store import describe_failure, open_store
from tiny_data import NAMES, files_with_hashes, tiny_arrays, write_files
from tiny_workspace import run_stage, stage_environment, write_params
from tracking_store import MLFLOW_WARNINGS, use_folder

pytestmark = [pytest.mark.filterwarnings(warning) for warning in MLFLOW_WARNINGS]

# Cases are counted, not named: pytest puts a name into the environment, where its secret would be found and masked.
LOGIN = "somebody:hunter2"
NO_SERVER = f"http://{LOGIN}@127.0.0.1:1"
SWITCH = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
RUN = {"info": {"run_id": "f" * 32, "run_name": "trial", "experiment_id": "1", "status": "RUNNING"}, "data": {}}


def assert_kept(*texts: str) -> None:
    assert "hunter2" not in "".join(texts)
    assert "somebody" not in "".join(texts)


class Server(BaseHTTPRequestHandler):
    """A mirror that wants a token, and MLflow's server as far as the end of a run."""

    folder: Path

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path.startswith("/api/"):
            self.answer(json.dumps({"run": RUN, "run_info": RUN["info"]}).encode())
        elif query == "token=hunter2":
            self.answer((self.folder / Path(path).name).read_bytes())
        else:
            self.send_error(403)

    do_POST = do_GET  # noqa: N815 the name is the standard library's

    def answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address, without its scheme, of a mirror of a tiny data set."""
    write_files(tmp_path / "mirror", arrays := tiny_arrays())
    files = files_with_hashes(tmp_path / "mirror", arrays)
    monkeypatch.setattr(mnist_files.files, "files_of", lambda name: files)
    monkeypatch.setattr(Server, "folder", tmp_path / "mirror", raising=False)
    http = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()


# The mask


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:secret@host:5000/a@b", "http://***@host:5000/a@b"),
        ("postgresql://me:se@cret@host/db", "postgresql://***@host/db"),
        ("postgresql://me:se/cret@host/db", "postgresql://***@host/db"),
        ("http://secret@host", "http://***@host"),
        ("https:/me:secret@host/as/pathlib/writes/it", "https:/***@host/as/pathlib/writes/it"),
        ("me:secret@host/without/a/scheme", "***@host/without/a/scheme"),
        ("https://host/file.gz?secret: HTTP 403; next", "https://host/file.gz?***: HTTP 403; next"),
        ("with url: /file.gz?a=secret&b=cret (Caused by", "with url: /file.gz?a=***&b=*** (Caused by"),
        ("{'uri': 'http://me:secret@host'}", "{'uri': 'http://***@host'}"),
    ],
    ids=count(),
)
def test_a_secret_in_an_address_is_masked_and_the_host_stays(text, shown):
    assert redacted(text) == shown
    assert holds_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "models:/dcgan-generator@champion",
        "sqlite:////home/me@company/mlflow.db",
        "http://host:5000/#/experiments/1",
        "error: data/raw: missing; is it there?",
        "sha256:0123, 12:30:45 and someone@example.com",
    ],
    ids=count(),
)
def test_what_holds_no_secret_stays_as_it_is(text):
    assert redacted(text) == text
    assert not holds_secret(text)


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("MLFLOW_TRACKING_PASSWORD", "hunter2", "hunter2"),
        ("MLFLOW_TRACKING_TOKEN", "hunter2\n", "hunter2"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2", "hunter2"),
        ("DCGAN_API_KEYS", "first-key, hunter2", "hunter2"),
        ("MLFLOW_TRACKING_URI", "postgresql://me:hun%40ter2@host/db", "hun@ter2"),
        ("MNIST_MIRROR", "https://me:hunter 2@host", "hunter 2"),
    ],
    ids=count(),
)
def test_a_secret_of_the_environment_is_masked_wherever_it_stands(monkeypatch, name, value, secret):
    monkeypatch.setenv(name, value)
    assert redacted(f"refused {secret}!") == "refused ***!"


# The mirrors


@pytest.mark.parametrize(
    "mirror",
    [
        NO_SERVER,
        f"http://{LOGIN}@127.0.0.1:99999/",
        f"http://{LOGIN}@[::1/",
        f"http://{LOGIN}@/",
        "http://somebody:hun/ter/hunter2@127.0.0.1:1/",
        "http://127.0.0.1:1/mnist?token=hunter2",
        f"ftp://{LOGIN}@127.0.0.1/",
        f"https:/{LOGIN}@127.0.0.1/",
        f"{LOGIN}@127.0.0.1/mnist",
    ],
    ids=count(),
)
def test_no_message_about_a_mirror_that_fails_shows_its_password(tmp_path, monkeypatch, capfd, mirror):
    monkeypatch.setenv("MNIST_MIRROR", mirror)
    monkeypatch.setattr(fetch, "RETRY_PAUSE_S", 0.0)
    with pytest.raises(UnavailableError) as caught:
        download_files("mnist", tmp_path / "raw", mirrors=[])
    told = capfd.readouterr()
    assert "127.0.0.1" in str(caught.value) or "***@" in str(caught.value)
    assert_kept(*told, str(caught.value))


def test_a_mirror_that_wants_a_token_delivers_and_the_token_is_not_shown(server, tmp_path, monkeypatch, capfd):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("MNIST_MIRROR", f"http://{LOGIN}@{server}/mnist/?token=hunter2")
    download_files("mnist", tmp_path / "raw", mirrors=[])
    bars, lines = terminal.getvalue(), "".join(capfd.readouterr())
    assert all(name in bars for name in NAMES.values())
    assert f"bytes from http://***@{server}/mnist/?***" in lines
    assert_kept(bars, lines)


def test_a_mirror_that_refuses_a_token_is_named_without_it(server, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("MNIST_MIRROR", f"http://{server}/mnist?token=hunter22")
    with pytest.raises(UnavailableError, match="HTTP 403") as caught:
        download_files("mnist", tmp_path / "raw", mirrors=[])
    assert_kept(*capfd.readouterr(), str(caught.value))


def test_the_stage_download_shows_and_writes_no_password(tmp_path, monkeypatch):
    write_params(tmp_path, data={"name": "mnist", "mirrors": []})
    monkeypatch.setenv("MNIST_MIRROR", NO_SERVER)
    done = run_stage("download", tmp_path)
    assert done.returncode == 69
    assert "http://***@127.0.0.1:1/" in done.stderr
    assert_kept(done.stdout, done.stderr, *(path.read_text() for path in tmp_path.rglob("*") if path.is_file()))


# The parameters, which git, DVC and MLflow keep


@pytest.mark.parametrize("mirror", [NO_SERVER, "https://host/mnist?sig=hunter2", "http://hunter2@host"], ids=count())
def test_a_secret_among_the_parameters_is_refused_with_the_place_for_it(tmp_path, mirror):
    write_params(tmp_path, data={"mirrors": ["http://host/mnist", mirror]})
    with pytest.raises(UsageError, match=r"data\.mirrors: an address with .*; give it in MNIST_MIRROR") as caught:
        load_params(tmp_path / "params.yaml")
    assert_kept(str(caught.value))


@pytest.mark.parametrize(
    "line",
    [f"data: {{name: mnist, mirrors: {NO_SERVER}}}", f"data: {{mirrors: ['{NO_SERVER}'", f"{NO_SERVER}: 1"],
    ids=count(),
)
def test_no_message_about_params_quotes_a_password(tmp_path, line):
    (tmp_path / "params.yaml").write_text(line + "\n")
    with pytest.raises(UsageError) as caught:
        load_params(tmp_path / "params.yaml")
    assert_kept(str(caught.value))


# MLflow


def fail_at(uri: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UnavailableError) as caught, open_store() as client:
        client.get_run("f" * 32)
    return str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        NO_SERVER,
        f"nonsense://{LOGIN}@host/path",
        f"postgresql://{LOGIN}@127.0.0.1:1/mlflow",
        f"mysql+nonsense://{LOGIN}@127.0.0.1:1/mlflow",
        "postgresql://host/mlflow?password=hunter2",
    ],
    ids=count(),
)
def test_no_message_about_a_store_shows_its_password(tmp_path, monkeypatch, capfd, uri):
    use_folder(tmp_path, monkeypatch)
    monkeypatch.setenv(SWITCH, "false")
    assert_kept(fail_at(uri, monkeypatch), *capfd.readouterr())


def test_a_token_that_cannot_be_a_header_is_not_quoted(tmp_path, monkeypatch):
    use_folder(tmp_path, monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "hunter2\nhunter2")
    message = fail_at("http://127.0.0.1:1", monkeypatch)
    assert "header" in message
    assert_kept(message)


def test_a_password_is_masked_before_mlflows_words_are_cut_short():
    error = RuntimeError(f"{'x' * 262} http://{LOGIN}{'y' * 40}@host")
    assert_kept(describe_failure(error, uri="http://host"))


def test_the_address_that_mlflow_prints_when_a_run_ends_is_not_shown(server, tmp_path, monkeypatch, capfd):
    use_folder(tmp_path, monkeypatch)
    monkeypatch.setenv(SWITCH, "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{LOGIN}@{server}")
    with open_store() as client:
        client.set_terminated("f" * 32)
    assert_kept(*capfd.readouterr())


def test_a_model_that_the_registry_lacks_is_named_without_its_password(tmp_path, monkeypatch):
    use_folder(tmp_path, monkeypatch)
    pytest.importorskip("mlflow")
    from mlflow.exceptions import MlflowException

    def fail(**_: object) -> None:
        raise MlflowException("unknown", error_code=404)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{LOGIN}@127.0.0.1:1")
    monkeypatch.setattr("mlflow.artifacts.download_artifacts", fail)
    with pytest.raises(BadDataError, match=r"the registry at http://\*\*\*@127") as caught:
        download_model("models:/none@champion", tmp_path)
    assert_kept(str(caught.value))


# The ends of processes


def run_python(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script]
    inherited = stage_environment(folder) | {"COLUMNS": "200"} | environment
    return subprocess.run(command, cwd=folder, env=inherited, capture_output=True, text=True, check=False)


def test_a_defects_traceback_and_a_usage_error_show_no_password(tmp_path):
    script = (
        "from dcgan.system.exit import run_stage\ndef main(name: str):\n    raise RuntimeError(name)\nrun_stage(main)\n"
    )
    for arguments, code in ([NO_SERVER], 1), (["x", NO_SERVER], 64):
        done = run_python(f"import sys\nsys.argv += {arguments!r}\n{script}", tmp_path)
        assert done.returncode == code
        assert ("Traceback" in done.stderr) == (code == 1)
        assert "***@127.0.0.1:1" in done.stderr
        assert_kept(done.stdout, done.stderr)


def test_an_error_of_the_operating_system_shows_no_password(tmp_path):
    script = f"from dcgan.system.exit import run_stage\ndef main():\n    open({f'{NO_SERVER}/x'!r})\nrun_stage(main)\n"
    done = run_python(script, tmp_path)
    assert done.returncode == 74
    assert "***@127.0.0.1:1/x" in done.stderr
    assert_kept(done.stderr)


def test_the_services_log_shows_neither_passwords_nor_keys(tmp_path):
    script = f"""
from dcgan.service import server
server._log_to_streams()
try:
    raise RuntimeError("no answer from {NO_SERVER}, key plain-hunter2-key")
except RuntimeError:
    server.logger.exception("reload failed")
"""
    done = run_python(script, tmp_path, DCGAN_API_KEYS="other-key,plain-hunter2-key")
    assert "reload failed" in done.stderr
    assert "RuntimeError: no answer from http://***@127.0.0.1:1, key ***" in done.stderr
    assert_kept(done.stdout, done.stderr)


def test_the_service_starts_from_a_registry_without_showing_its_password(tmp_path):
    script = (
        "from dcgan.cli import main; import sys; sys.argv = ['dcgan', 'serve', '--model', 'models:/g@champion']; main()"
    )
    done = run_python(script, tmp_path, MLFLOW_TRACKING_URI=NO_SERVER)
    assert done.returncode == 69
    assert "MLflow at http://***@127.0.0.1:1 failed" in done.stderr
    assert_kept(done.stdout, done.stderr)
