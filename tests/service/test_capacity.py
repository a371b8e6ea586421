"""What an autoscaler asks: the gauges of load and of capacity, under requests that really are in progress together."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

from dcgan.service.limits import Limits
from running_service import Running
from service_client import LIMITS, HeldDrawing, Service
from support import ROOT

IDLE = {"requests_in_progress": 0, "queued_images": 0, "batches_in_progress": 0}


def gauges(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^dcgan_(\w+) (\S+)$", text, re.MULTILINE)}


def test_load_rises_and_falls_with_concurrent_requests(tmp_path, model):
    waiting = ("--limit", "max_wait_seconds=2", "--limit", "max_requests=9", "--threads", "2")
    with Running(tmp_path, model, *waiting) as running, ThreadPoolExecutor(5) as pool:

        def load() -> dict[str, float]:
            return gauges(running.ask("/metrics", None).decode())

        def await_load(**expected: float) -> dict[str, float]:
            end = time.monotonic() + 15
            while not expected.items() <= (now := load()).items():
                assert time.monotonic() < end, now
            return now

        await_load(**IDLE)  # and so is who asks for it no load
        answers = [pool.submit(running.ask, body=json.dumps({"count": 4}).encode()) for _ in range(5)]
        now = await_load(requests_in_progress=5, queued_images=20)
        assert {each: now[each] for each in ("requests_limit", "queued_images_limit", "batches_limit")} == {
            "requests_limit": 9, "queued_images_limit": Limits().max_queued_images, "batches_limit": 2,
        }  # fmt: skip
        assert [len(each.result()) for each in answers] == [4 * 784 + 128] * 5
        await_load(**IDLE)


def test_what_is_drawn_waits_no_more_and_the_calls_of_the_model_are_counted(model, monkeypatch):
    held = HeldDrawing(monkeypatch)
    with Service(model, limits=LIMITS.model_copy(update={"max_batch": 4})) as service, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(service.images, count=10)
        held.await_begin()
        now = gauges(service.get("/metrics").text)
        held.release()
        assert answer.result().status_code == 200
        assert {"requests_in_progress": 1, "queued_images": 2, "batches_in_progress": 2}.items() <= now.items()
        assert IDLE.items() <= gauges(service.get("/metrics").text).items()


def test_every_metric_is_documented_and_no_other(service):
    service.images(count=1)
    told = service.get("/metrics").text
    types = set(re.findall(r"^# TYPE (dcgan_\w+) ", told, re.MULTILINE))
    served = {name for name in types if not name.endswith("_created")}
    documented = set(re.findall(r"^\| `(dcgan_\w+)` \|", (ROOT / "docs/service.md").read_text(), re.MULTILINE))
    assert served == documented
