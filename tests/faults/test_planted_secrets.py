"""Passwords planted in every address that the project takes; none may come out anywhere."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler
from itertools import count
from pathlib import Path

import pytest

from dcgan.commands.model_source import load_generator
from dcgan.config.params_file import load_params
from dcgan.data.files import download_files, fetch
from dcgan.system.errors import DcganError, UnavailableError, UsageError
from dcgan.system.redaction import holds_secret, redacted
from dcgan.tracking.failures import failure_of
from dcgan.tracking.store import open_store
from tiny_data import NAMES
from tiny_mirror import serving, write_mirror
from tiny_workspace import run_stage, stage_environment, write_params
from tracking_store import use_folder

parametrize = partial(pytest.mark.parametrize, ids=count())
"""Cases are counted, not named: pytest puts a name into the environment, where its secret would be found and hidden."""

PASSWORD = "hunter2-0042"
LOGIN = f"somebody:{PASSWORD}"
NO_SERVER = f"http://{LOGIN}@127.0.0.1:1"
SWITCH = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"
RUN = {"info": {"run_id": "f" * 32, "run_name": "trial", "experiment_id": "1", "status": "RUNNING"}, "data": {}}


def assert_hidden(*texts: str) -> None:
    assert "hunter2" not in "".join(texts)
    assert "somebody" not in "".join(texts)


class Server(BaseHTTPRequestHandler):
    """A mirror that wants a token, and MLflow's server as far as the end of a run."""

    folder: Path

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path.endswith("/registered-models/alias"):
            self.answer(b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}', status=404)
        elif path.startswith("/api/"):
            self.answer(json.dumps({"run": RUN, "run_info": RUN["info"]}).encode())
        elif query == f"token={PASSWORD}":
            self.answer((self.folder / Path(path).name).read_bytes())
        else:
            self.send_error(403)

    do_POST = do_GET  # noqa: N815 the name is the standard library's

    def answer(self, content: bytes, *, status: int = 200) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address, without its scheme, of a mirror of a tiny data set."""
    monkeypatch.setattr(Server, "folder", write_mirror(tmp_path / "mirror", monkeypatch), raising=False)
    with serving(Server) as address:
        yield address


# The mask


@parametrize(
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
        *(
            (text, text)
            for text in (
                "models:/dcgan-generator@champion",
                "sqlite:////home/me@company/mlflow.db",
                "http://host:5000/#/experiments/1",
                "error: data/raw: missing; is it there?",
                "sha256:0123, 12:30:45 and someone@example.com",
            )
        ),
    ],
)
def test_a_secret_in_an_address_is_masked_and_the_host_and_all_else_stay(text, shown):
    assert redacted(text) == shown
    assert holds_secret(text) == (shown != text)


@parametrize(
    ("name", "value", "secret"),
    [
        ("MLFLOW_TRACKING_PASSWORD", PASSWORD, PASSWORD),
        ("MLFLOW_TRACKING_TOKEN", f"{PASSWORD}\n", PASSWORD),
        ("AWS_SECRET_ACCESS_KEY", PASSWORD, PASSWORD),
        ("DCGAN_API_KEYS", f"first-key, {PASSWORD}", PASSWORD),
        ("MLFLOW_TRACKING_URI", "postgresql://me:hunter%4022@host/db", "hunter@22"),
        ("MNIST_MIRROR", "https://me:hunter 22@host", "hunter 22"),
    ],
)
def test_a_secret_of_the_environment_is_hidden_wherever_it_is_a_whole_word(monkeypatch, name, value, secret):
    monkeypatch.setenv(name, value)
    assert redacted(f"refused {secret}!") == "refused ***!"
    assert redacted(f"x{secret}") == f"x{secret}"


NO_SECRETS = dict.fromkeys(["CACHE_KEY", "CI_CACHE_KEY", "SORT_KEYS", "TOKENIZERS_PARALLELISM"], "non_saturating")
TOO_SHORT = {"ACCESS_TOKEN": "normal"}  # to be told from a word


@parametrize(("name", "value"), (NO_SECRETS | TOO_SHORT).items())
def test_no_other_value_of_the_environment_is_touched(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    for text in (value, f"models/generator.safetensors: {value} bytes", f"evaluate.num_samples = {value}"):
        assert redacted(text) == text


# The mirrors


@parametrize(
    "mirror",
    [
        NO_SERVER,
        f"http://{LOGIN}@127.0.0.1:99999/",
        f"http://{LOGIN}@[::1/",
        f"http://{LOGIN}@/",
        f"http://somebody:hun/ter/{PASSWORD}@127.0.0.1:1/",
        f"http://127.0.0.1:1/mnist?token={PASSWORD}",
        f"ftp://{LOGIN}@127.0.0.1/",
        f"https:/{LOGIN}@127.0.0.1/",
        f"{LOGIN}@127.0.0.1/mnist",
    ],
)
def test_no_message_about_a_mirror_that_fails_shows_its_password(tmp_path, monkeypatch, capfd, mirror):
    monkeypatch.setenv("MNIST_MIRROR", mirror)
    monkeypatch.setattr(fetch, "RETRY_PAUSE_S", 0.0)
    with pytest.raises((UnavailableError, UsageError)) as caught:
        download_files("mnist", tmp_path / "raw", mirrors=[])
    told = capfd.readouterr()
    assert "127.0.0.1" in str(caught.value) or "***@" in str(caught.value)
    assert_hidden(*told, str(caught.value))


def test_a_mirror_that_wants_a_token_delivers_and_the_token_is_not_shown(server, tmp_path, monkeypatch, capfd):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("MNIST_MIRROR", f"http://{LOGIN}@{server}/mnist/?token={PASSWORD}")
    download_files("mnist", tmp_path / "raw", mirrors=[])
    bars, lines = terminal.getvalue(), "".join(capfd.readouterr())
    assert all(name in bars for name in NAMES.values())
    assert f"bytes from http://***@{server}/mnist/?***" in lines
    assert_hidden(bars, lines)


@parametrize("mirror", [f"{NO_SERVER}/mnist", f"http://127.0.0.1:1/mnist?token={PASSWORD}"])
def test_the_stage_download_shows_and_writes_no_password(tmp_path, monkeypatch, mirror):
    """Not even where it tries again, which urllib3 would log with the whole query."""
    write_params(tmp_path, data={"name": "mnist", "mirrors": []})
    monkeypatch.setenv("MNIST_MIRROR", mirror)
    done = run_stage("download", tmp_path)
    assert done.returncode == 69
    assert "127.0.0.1:1/mnist" in done.stderr
    assert done.stderr.count("\n") == 1
    assert_hidden(done.stdout, done.stderr, *(path.read_text() for path in tmp_path.rglob("*") if path.is_file()))


# The parameters, which git, DVC and MLflow keep

PLACE_FOR_IT = r"data\.mirrors: an address with .*; give it in MNIST_MIRROR"


@parametrize(
    ("text", "told"),
    [
        (f"data: {{mirrors: ['http://host/mnist', '{NO_SERVER}']}}", PLACE_FOR_IT),
        (f"data: {{mirrors: ['https://host/mnist?sig={PASSWORD}']}}", PLACE_FOR_IT),
        (f"data: {{mirrors: ['http://{PASSWORD}@host']}}", PLACE_FOR_IT),
        (f"data: {{name: mnist, mirrors: {NO_SERVER}}}", None),
        (f"data: {{mirrors: ['{NO_SERVER}'", None),
        (f"{NO_SERVER}: 1", None),
    ],
)
def test_a_secret_among_the_parameters_is_refused_and_not_quoted(tmp_path, text, told):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UsageError, match=told) as caught:
        load_params(tmp_path / "params.yaml")
    assert_hidden(str(caught.value))


# MLflow


def message_about(uri: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is said when a model is loaded from the registry at `uri`."""
    use_folder(folder, monkeypatch)
    monkeypatch.setenv(SWITCH, "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(DcganError) as caught:
        load_generator("models:/none@champion")
    return str(caught.value)


@parametrize(
    "uri",
    [
        NO_SERVER,
        f"nonsense://{LOGIN}@host/path",
        f"nonsense://somebody:{PASSWORD * 60}@host/path",  # which is cut short in its middle
        f"postgresql://{LOGIN}@127.0.0.1:1/mlflow",
        f"mysql+nonsense://{LOGIN}@127.0.0.1:1/mlflow",
        f"postgresql://host/mlflow?password={PASSWORD}",
    ],
)
def test_no_message_about_a_store_shows_its_password(tmp_path, monkeypatch, capfd, uri):
    assert_hidden(message_about(uri, tmp_path, monkeypatch), *capfd.readouterr())


def test_a_token_that_cannot_be_a_header_is_not_quoted(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", f"{PASSWORD}\n{PASSWORD}")
    message = message_about("http://127.0.0.1:1", tmp_path, monkeypatch)
    assert "header" in message
    assert_hidden(message)


def test_a_model_that_the_registry_lacks_is_named_without_its_password(server, tmp_path, monkeypatch):
    message = message_about(f"http://{LOGIN}@{server}", tmp_path, monkeypatch)
    assert "models:/none@champion" in message
    assert_hidden(message)


def test_a_password_is_hidden_before_mlflows_words_are_cut_short():
    error = RuntimeError(f"{'x' * 262} http://{LOGIN}{'y' * 40}@host")
    assert_hidden(str(failure_of(error, uri="http://host")))


def test_the_address_that_mlflow_prints_when_a_run_ends_is_not_shown(server, tmp_path, monkeypatch, capfd):
    use_folder(tmp_path, monkeypatch)
    monkeypatch.setenv(SWITCH, "false")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{LOGIN}@{server}")
    with open_store() as client:
        client.set_terminated("f" * 32)
    assert_hidden(*capfd.readouterr())


# The ends of processes

STAGE = """
from dcgan.system.exit import run_stage
def main(how: str):
    if how == "defect":
        raise RuntimeError(NO_SERVER)
    open(f"{NO_SERVER}/x")
run_stage(main)
"""


def run_python(script: str, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"NO_SERVER = {NO_SERVER!r}\n{script}", *arguments]
    inherited = stage_environment(folder) | {"COLUMNS": "200"} | environment
    return subprocess.run(command, cwd=folder, env=inherited, capture_output=True, text=True, check=False)


@parametrize(("arguments", "code"), [(["defect"], 1), (["defect", NO_SERVER], 64), (["unreadable"], 74)])
def test_no_end_of_a_process_shows_a_password(tmp_path, arguments, code):
    done = run_python(STAGE, tmp_path, *arguments)
    assert done.returncode == code
    assert ("Traceback" in done.stderr) == (code == 1)
    assert "***@127.0.0.1:1" in done.stderr
    assert_hidden(done.stdout, done.stderr)


def test_the_services_log_shows_neither_passwords_nor_keys(tmp_path):
    script = """
from dcgan.service import server
server._log_to_streams()
try:
    raise RuntimeError(f"no answer from {NO_SERVER}, key plain-hunter2-key")
except RuntimeError:
    server.logger.exception("reload failed")
"""
    done = run_python(script, tmp_path, DCGAN_API_KEYS="other-key,plain-hunter2-key")
    assert "RuntimeError: no answer from http://***@127.0.0.1:1, key ***" in done.stderr
    assert_hidden(done.stdout, done.stderr)
