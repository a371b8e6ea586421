"""A model of MLflow's registry behind the service: its version in every answer, and an alias that moves."""

import asyncio
import json
import logging
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import tracking_store as tracked
from dcgan.commands.model_source import load_generator, version_at
from dcgan.inference.generator import Generator
from dcgan.service.model import Watch
from dcgan.system.errors import UnavailableError
from running_service import SERVE, Running
from service_client import HeldDrawing, Service, inputs
from tiny_onnx import build_model, write_model
from tracking_server import TrackingServer

CHAMPION = "models:/tiny-generator@champion"
DEAD = "http://127.0.0.1:9"


def add_version() -> str:
    """A version whose model says its number; the number."""
    client = tracked.client()
    if not client.search_registered_models("name = 'tiny-generator'"):
        client.create_registered_model("tiny-generator")
    number = str(len(client.search_model_versions("name = 'tiny-generator'")) + 1)
    folder = Path(f"versions/{number}")
    folder.mkdir(parents=True)
    write_model(folder / "model.onnx", build_model(number=number))
    client.create_model_version("tiny-generator", folder.resolve().as_uri())
    return number


def give_alias(number: str) -> None:
    tracked.client().set_registered_model_alias("tiny-generator", "champion", number)


@pytest.fixture
def registry(tracked_workspace: Path) -> Path:
    """Three versions, of which the first is champion."""
    assert [add_version() for _ in range(3)] == ["1", "2", "3"]
    give_alias("1")
    return tracked_workspace


@pytest.fixture
def champion(registry: Path) -> Iterator[Service]:
    with Service(load=lambda: load_generator(CHAMPION)) as client:
        yield client


def drawing(service: Service) -> dict[str, object]:
    """An answer of each kind that draws."""
    binary = [{"name": "pixels", "parameters": {"binary_data": True}}]
    return {
        "images": service.images(count=2),
        "walk": service.post("/v1/walks", json={"from_seed": 1, "to_seed": 2, "steps": 3}),
        "infer": service.infer(inputs=inputs()),
        "infer in bytes": service.infer(inputs=inputs(), outputs=binary),
    }


def test_every_answer_that_draws_tells_the_version_and_the_file(champion):
    for kind, answer in drawing(champion).items():
        assert answer.status_code == 200, kind
        assert answer.headers["x-model-version"] == "1", kind
        assert answer.headers["x-model-sha256"] == champion.generator.info.sha256, kind
    assert (
        f'dcgan_model_info{{sha256="{champion.generator.info.sha256}",version="1"}} 1.0'
        in champion.get("/metrics").text
    )


def test_a_plain_file_has_no_version(service):
    for kind, answer in drawing(service).items():
        assert "x-model-version" not in answer.headers, kind
        assert answer.headers["x-model-sha256"] == service.generator.info.sha256, kind
    assert (
        f'dcgan_model_info{{sha256="{service.generator.info.sha256}",version=""}} 1.0' in service.get("/metrics").text
    )


def test_pages_of_other_origins_may_read_the_version(model):
    with Service(model, origins=["https://example.org"]) as service:
        answer = service.post("/v1/images", json={"count": 1}, headers={"origin": "https://example.org"})
    assert "X-Model-Version" in answer.headers["access-control-expose-headers"]


def test_the_v2_protocol_speaks_of_the_registrys_version(champion):
    give_alias("3")
    asyncio.run(champion.served.reload())
    assert champion.get("/v2/models/generator").json()["versions"] == ["3"]
    assert champion.get("/v2/models/generator/versions/3").json()["versions"] == ["3"]
    assert champion.post("/v2/models/generator/versions/3/infer", json={"inputs": inputs()}).status_code == 200
    assert champion.infer(inputs=inputs(), outputs=[{"name": "pixels"}]).json()["model_version"] == "3"
    assert champion.get("/v2/models/generator/stats").json()["model_stats"][0]["version"] == "3"
    assert champion.post("/v2/repository/index").json()[0]["version"] == "3"
    for number in ("1", "2", "4"):
        refused = champion.get(f"/v2/models/generator/versions/{number}/ready")
        assert (refused.status_code, refused.json()["error"][-9:]) == (404, "version 3")


def test_a_request_in_progress_keeps_the_version_that_it_began_with(champion, monkeypatch):
    held, answers = HeldDrawing(monkeypatch), []
    request = threading.Thread(target=lambda: answers.append(champion.images(count=2)))
    request.start()
    held.await_begin()
    give_alias("2")
    monkeypatch.setattr(champion.served, "_load", with_released(held, lambda: load_generator(CHAMPION)))
    asyncio.run(champion.served.reload())
    request.join(20)
    assert [answer.headers["x-model-version"] for answer in answers] == ["1"]
    assert champion.images(count=2).headers["x-model-version"] == "2"
    told = champion.get("/metrics").text
    assert ('version="2"} 1.0' in told, 'version="1"' in told) == (True, False)


def with_released(held: HeldDrawing, load: Callable[[], Generator]) -> Callable[[], Generator]:
    """A load, which draws a few digits itself: what is held goes on when it begins."""

    def released() -> Generator:
        held.release()
        return load()

    return released


# --watch


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def following(champion: Service) -> Callable[[Callable[[], object]], None]:
    """Run a coroutine function while the champion is followed."""

    def run(scenario: Callable[[], object], *, find_version: Callable[[], str | None] | None = None) -> None:
        async def main() -> None:
            watch = Watch(find_version or (lambda: version_at(CHAMPION)), 0.02)
            task = asyncio.create_task(champion.served.follow(watch))
            await scenario()
            assert not task.done(), task
            task.cancel()

        asyncio.run(main())

    return run


def test_a_watched_alias_is_followed_and_nothing_reloaded_that_has_not_moved(champion, following, caplog):
    caplog.set_level(logging.INFO, "dcgan.service")

    async def scenario() -> None:
        first = champion.generator
        await asyncio.sleep(0.5)
        assert champion.generator is first
        give_alias("2")
        await until(lambda: champion.generator.info.version == "2")
        give_alias("1")  # back, as by `dcgan rollback`
        await until(lambda: champion.generator.info.version == "1")

    following(scenario)
    assert champion.generator.info.metadata["number"] == "1"
    assert re.findall(r"reloaded: sha256 \w{64}, version (\d)", caplog.text) == ["2", "1"]


def test_a_registry_that_does_not_answer_keeps_the_model_is_told_once_and_asked_again(champion, following, caplog):
    caplog.set_level(logging.INFO, "dcgan.service")
    asked, is_away = [], threading.Event()

    def find_version() -> str | None:
        asked.append(is_away.is_set())
        if is_away.is_set():
            raise UnavailableError(f"MLflow at {DEAD} failed")
        return version_at(CHAMPION)

    async def scenario() -> None:
        is_away.set()
        await until(lambda: sum(asked) >= 4)
        assert champion.generator.info.version == "1"
        give_alias("2")
        is_away.clear()
        await until(lambda: champion.generator.info.version == "2")

    following(scenario, find_version=find_version)
    told = [record.getMessage() for record in caplog.records if "the registry" in record.getMessage()]
    assert told == [
        f"the registry does not tell which version to serve, the model stays: MLflow at {DEAD} failed",
        "the registry tells again which version to serve: 2",
    ]


def test_a_new_version_that_cannot_be_loaded_keeps_the_model_until_it_can(champion, following, caplog):
    file = Path("versions/2/model.onnx")
    good = file.read_bytes()
    file.write_bytes(good[:1000])

    async def scenario() -> None:
        give_alias("2")
        await until(lambda: "reload refused, the model stays: models:/tiny-generator" in caplog.text)
        assert champion.generator.info.version == "1"
        file.write_bytes(good)
        await until(lambda: champion.generator.info.version == "2")

    following(scenario)


def test_an_alias_that_is_deleted_keeps_the_model(champion, following, caplog):
    async def scenario() -> None:
        tracked.client().delete_registered_model_alias("tiny-generator", "champion")
        told = f"the model stays: {CHAMPION}: the registry at sqlite:.* has no such model; `dcgan versions`"
        await until(lambda: re.search(told, caplog.text))

    following(scenario)
    assert champion.generator.info.version == "1"


# As a process


def refused(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SERVE, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "generator.onnx", "--watch", "5"], "--watch: needs a model that may change, as --model models:/"),
        (["--model", "models:/tiny-generator/1", "--watch", "5"], "--watch: needs a model that may change"),
        (["--model", CHAMPION, "--watch", "0.5"], "--watch: 0.5 is out of range; expected 1 to 86,400 seconds"),
        (["--model", CHAMPION, "--watch", "nan"], "--watch: nan is out of range"),
    ],
)
def test_a_watch_of_what_never_changes_or_that_is_no_time_is_64(arguments, told):
    done = refused(*arguments, "--port", "0")
    assert (done.returncode, done.stderr.count("\n")) == (64, 1)
    assert told in done.stderr


def test_an_alias_that_is_unknown_is_65(registry):
    done = refused("--model", "models:/tiny-generator@nobody", "--port", "0")
    assert (done.returncode, done.stderr.count("\n")) == (65, 1)
    told = r"error: models:/tiny-generator@nobody: the registry at sqlite:\S+ has no such model; `dcgan versions` lists"
    assert re.match(told, done.stderr)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP")
def test_sighup_takes_the_version_that_the_alias_names_now(registry, tmp_path):
    with Running(tmp_path, CHAMPION) as running:
        assert version_served(running) == "1"
        give_alias("2")
        assert version_served(running) == "1"
        running.process.send_signal(signal.SIGHUP)
        running.told(r"reloaded: sha256 \w{64}, version 2")
        assert version_served(running) == "2"
        assert running.end() == 0


def version_served(running: Running) -> str:
    return re.search(rb'"model_version":"(\d+)"', infer(running))[1].decode()


def infer(running: Running) -> bytes:
    latents = np.zeros(4).tolist()
    both = {
        "latents": {"name": "latents", "datatype": "FP32", "shape": [1, 4], "data": latents},
        "labels": {"name": "labels", "datatype": "INT64", "shape": [1], "data": [3]},
    }
    body = {"inputs": list(both.values()), "outputs": [{"name": "pixels"}]}
    return running.ask("/v2/models/generator/infer", json.dumps(body).encode(), accept="application/json")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_champion_on_a_server_is_followed_through_promotions_rollbacks_and_an_outage(
    tracked_workspace, tmp_path, monkeypatch
):
    server = TrackingServer(tmp_path / "server")
    try:
        server.start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
        tracked.write_exported_model()
        tracked.dcgan_sync()
        with Running(tmp_path, CHAMPION, "--watch", "1") as running:
            assert version_served(running) == "1"
            tracked.write_exported_model(b"better", fcd=0.05)
            assert "version 2 is champion" in tracked.dcgan_sync()[-1]
            running.told(r"reloaded: sha256 \w{64}, version 2")
            assert version_served(running) == "2"
            server.send(signal.SIGSTOP)
            running.told("the registry does not tell which version to serve, the model stays: MLflow at", seconds=90)
            assert version_served(running) == "2"
            server.send(signal.SIGCONT)
            running.told("the registry tells again which version to serve: 2", seconds=90)
            assert dcgan("rollback", "--reason", "blurred sevens").stdout.startswith(
                "tiny-generator version 1 is champion"
            )
            running.told(r"reloaded: sha256 \w{64}, version 1")
            assert dcgan("promote", "2").returncode == 0
            running.told(r"(?s)version 1\n.*reloaded: sha256 \w{64}, version 2")
            assert version_served(running) == "2"
            assert dcgan("versions").stdout.splitlines()[1].startswith("* 2 ")
            assert running.end(seconds=60) == 0
    finally:
        server.end()


def dcgan(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*SERVE[:-1], *arguments]
    return subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=120, check=True)
