"""Two people, each with a workspace, train and register at once: MLflow on PostgreSQL, with a server and without."""

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import boto3
import pytest

import tracking_store as tracked
from dcgan.config import workspace
from dcgan.system.files import sha256_of
from postgres_server import postgres_server, programs
from s3_server import LOGIN, s3_server
from tiny_workspace import new_workspace, stage_command, stage_environment
from tracking_server import TrackingServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NAME, PEOPLE = "tiny-generator", ("anna", "ben")
PATIENT = ("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
"""A server's first answers may take longer than the four seconds that a training has for them."""


@pytest.fixture(scope="module")
def new_database() -> Iterator[Callable[[str], str]]:
    if (found := programs()) is None:
        pytest.skip("PostgreSQL is not installed (Debian, Ubuntu: apt install postgresql)")
    with postgres_server(found) as create:
        yield create


@pytest.fixture(params=["server", "database"])
def uri(request, new_database, tmp_path, monkeypatch) -> Iterator[str]:
    """The address that both use, of an empty store: of a server with files on S3, or of the database itself."""
    for name in (name for name in os.environ if name.startswith("MLFLOW_")):
        monkeypatch.delenv(name)
    monkeypatch.setenv(*PATIENT)
    database = new_database(f"{request.param}_{request.function.__name__}"[:60])
    if request.param == "database":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
        yield database
        return
    with s3_server() as s3:
        for name, value in (LOGIN | {"AWS_ENDPOINT_URL": s3}).items():
            monkeypatch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="mlflow")
        server = TrackingServer(tmp_path / "server", store=database, artifacts="s3://mlflow/artifacts")
        try:
            server.start()
            for name in (*LOGIN, "AWS_ENDPOINT_URL"):  # the server's own: its clients have no login to S3
                monkeypatch.delenv(name)
            monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
            yield server.url
        finally:
            server.end()


def run_together(stages: Sequence[str], folders: Sequence[Path], uri: str) -> list[subprocess.CompletedProcess[str]]:
    """Both run each stage at the same moment, to its end; how the last one ended."""
    start = Barrier(len(folders))

    def run(folder: Path) -> subprocess.CompletedProcess[str]:
        environment = stage_environment(folder) | dict(
            [("MLFLOW_TRACKING_URI", uri), ("LOGNAME", folder.name), PATIENT]
        )
        options = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
        for stage in stages:
            start.wait(300)
            done = subprocess.run(stage_command(stage), check=False, **options)
        return done

    with ThreadPoolExecutor(len(folders)) as people:
        return list(people.map(run, folders))


def test_both_runs_and_both_versions_are_complete_each_point_once(uri, tmp_path, monkeypatch):
    folders = [tmp_path / person for person in PEOPLE]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        new_workspace(folder, train={"seed": seed})
    for done in run_together(["train", "export", "evaluate", "register"], folders, uri):
        assert done.returncode == 0, done.stderr
    client = tracked.client()
    runs = {run.data.tags["mlflow.user"]: run for run in tracked.runs()}
    versions = {version.run_id: version for version in client.search_model_versions(f"name = '{NAME}'")}
    assert runs.keys() == set(PEOPLE)
    assert len(tracked.runs()) == 2
    assert sorted(str(version.version) for version in versions.values()) == ["1", "2"]
    for folder in folders:
        monkeypatch.chdir(folder)
        run, record = runs[folder.name], tracked.model()
        assert run.info.status == "FINISHED"
        assert run.data.params == record.params
        for key in {point.key for point in record.points}:
            expected = sorted((point.step, point.value) for point in record.points if point.key == key)
            assert tracked.points(run, key) == expected, key
        for key, value in record.figures.items():
            assert tracked.points(run, key) == [(0, value)], key
        assert versions[run.info.run_id].tags["onnx_sha256"] == sha256_of(workspace.ONNX_GENERATOR)
        for sub, paths in record.files.items():
            texts = [Path(name).name for name in record.texts if name.startswith(f"{sub}/")]
            assert tracked.artifacts(run, sub) == sorted([*texts, *(path.name for path in paths)])


def test_of_two_promotions_at_once_one_champion_comes_whose_page_and_rivals_page_agree(uri, tmp_path, monkeypatch):
    folders = [tmp_path / person for person in PEOPLE]
    for folder, fcd in zip(folders, (0.12, 0.1), strict=True):
        folder.mkdir()
        new_workspace(folder)
        monkeypatch.chdir(folder)
        tracked.write_exported_model(folder.name.encode(), fcd=fcd)
    for folder, done in zip(folders, run_together(["register"], folders, uri), strict=True):
        assert done.returncode in (0, 75), done.stderr
        if done.returncode:  # somebody else was faster, it says; so it looks again
            (again,) = run_together(["register"], [folder], uri)
            assert again.returncode == 0, again.stderr
    model = tracked.client().get_registered_model(NAME)
    versions = {str(each.version): each for each in tracked.client().search_model_versions(f"name = '{NAME}'")}
    assert versions.keys() == {"1", "2"}
    champion = versions.pop(str(model.aliases["champion"]))
    (rival,) = versions.values()
    assert champion.tags["decision"].startswith("champion: ")
    # The better one wins, whoever came first; if it was the first, its rival is the challenger.
    assert champion.tags["fcd"] == "0.1"
    if champion.tags["decision"].startswith("champion: the first"):
        assert str(model.aliases["challenger"]) == str(rival.version)
        assert f"of the champion, version {champion.version}" in rival.tags["decision"]
