"""Speed of the service: `python benchmarks/serving.py [--model F] [--soak SECONDS]`; clients run in this process.

The raw speed is ONNX Runtime's own on the same model with as many threads as the service has, measured alone and first.
"""

import asyncio
import http.client
import json
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from numpy.typing import NDArray

from dcgan.inference.generator import CHUNK, Generator
from dcgan.system.cores import default_threads

CLIENTS = 16
PORT = 8765


def main(
    model: Annotated[Path, typer.Option(help="The generator's ONNX file.")] = Path("models/generator.onnx"),
    seconds: Annotated[float, typer.Option(help="Length of each measurement.")] = 10,
    soak: Annotated[float, typer.Option(help="Seconds of half load after the measurements.")] = 0,
    images: Annotated[int, typer.Option(help="Digits a request at saturation; all may wait at once.")] = 240,
) -> None:
    """Measure, and print one table."""
    raw = raw_images_per_second(model, seconds=seconds)
    print(f"raw ONNX Runtime, {default_threads()} threads: {raw:,.0f} images/s")
    with service(model) as (process, ready_seconds):
        for count, rounds in ((64, 60), (1000, 8)):
            compare_protocols(Generator.load(model, providers="cpu"), count=count, rounds=rounds)
        print(f"start to ready: {ready_seconds:.2f} s")
        asyncio.run(load(clients=4, count=images, seconds=2))
        full = asyncio.run(load(clients=CLIENTS, count=images, seconds=seconds))
        saturated = images * len(full.latencies) / seconds
        print(f"saturated, {CLIENTS} clients of {images} digits, npy: {saturated:,.0f} images/s")
        print(f"share of raw: {saturated / raw:.0%}")
        single = asyncio.run(load(clients=CLIENTS, count=1, seconds=seconds))
        rate = len(single.latencies) / seconds
        print(f"single digits, {CLIENTS} clients without a pause: {rate:,.0f} requests/s, {shown(single.latencies)}")
        half = asyncio.run(load(clients=CLIENTS, count=1, seconds=seconds, rate=rate / 2))
        answered = len(half.latencies) / seconds
        print(f"single digits at half that load: {answered:,.0f} requests/s, {shown(half.latencies)}")
        if soak:
            before = memory(process.pid)
            soaked = asyncio.run(load(clients=CLIENTS, count=1, seconds=soak, rate=rate / 2))
            grown = memory(process.pid) - before
            print(f"soak of {soak:.0f} s: {len(soaked.latencies):,} requests, {soaked.errors} errors, {grown:+.1f} MiB")


@dataclass
class Load:
    """What the clients saw: the seconds of each good answer, and how many bad ones came."""

    latencies: list[float] = field(default_factory=list)
    errors: int = 0


async def load(*, clients: int, count: int, seconds: float, rate: float | None = None) -> Load:
    """Ask from several connections at once, without a pause or at `rate` requests a second in all."""
    seen, end = Load(), time.perf_counter() + seconds
    body = json.dumps({"count": count}).encode()
    kinds = "content-type: application/json\r\naccept: application/x-npy"
    head = f"POST /v1/images HTTP/1.1\r\nhost: x\r\n{kinds}\r\ncontent-length: {len(body)}\r\n\r\n"
    request = head.encode() + body

    async def client(index: int) -> None:
        due = time.perf_counter() + (index / rate if rate else 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT, limit=2**20)
        with closing(writer):
            while due < end and time.perf_counter() < end:
                if rate:
                    await asyncio.sleep(due - time.perf_counter())
                started = due if rate else time.perf_counter()
                writer.write(request)
                answer = await reader.readuntil(b"\r\n\r\n")
                size = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(size)
                if answer.split()[1] == b"200":
                    seen.latencies.append(time.perf_counter() - started)
                else:
                    seen.errors += 1
                due += clients / rate if rate else 0

    await asyncio.gather(*(client(index) for index in range(clients)))
    return seen


def compare_protocols(generator: Generator, *, count: int, rounds: int) -> None:
    """The same digits by each protocol from one client, in turn, so that other work on the machine meets them alike."""
    latents, labels = generator.latents_for(count), generator.labels_for(count)
    given = {"latents": latents} | ({} if labels is None else {"labels": labels})
    both, pixels = ["images", "pixels"], ["pixels"]
    ways = {
        "v1 npy, pixels": ("/v1/images", json.dumps({"count": count}).encode(), {"accept": "application/x-npy"}),
        "v2 JSON, pixels": infer_request(given, pixels, binary=False),
        "v2 binary, pixels": infer_request(given, pixels, binary=True),
        "v2 JSON, images and pixels": infer_request(given, both, binary=False),
        "v2 binary, images and pixels": infer_request(given, both, binary=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    sizes = {}
    with closing(http.client.HTTPConnection("127.0.0.1", PORT)) as connection:
        for _ in range(rounds):
            for name, (path, body, headers) in ways.items():
                started = time.perf_counter()
                connection.request("POST", path, body, {"content-type": "application/json"} | headers)
                answer = connection.getresponse()
                sizes[name] = len(answer.read())
                seconds[name].append(time.perf_counter() - started)
                assert answer.status == 200, name
    for name, found in seconds.items():
        middle = statistics.median(found)
        told = f"{1000 * middle:.1f} ms, {count / middle:,.0f} images/s, {sizes[name] / 1000:,.0f} kB"
        print(f"{count:,} digits, one client, {name}: {told}")


def infer_request(
    given: dict[str, NDArray[Any]], outputs: list[str], *, binary: bool
) -> tuple[str, bytes, dict[str, str]]:
    """Path, body and headers of a request by version 2 of the protocol."""
    inputs: list[dict[str, Any]] = []
    for name, array in given.items():
        datatype = {"float32": "FP32", "int64": "INT64"}[array.dtype.name]
        data = {"parameters": {"binary_data_size": array.nbytes}} if binary else {"data": array.ravel().tolist()}
        inputs.append({"name": name, "datatype": datatype, "shape": list(array.shape)} | data)
    wanted = [{"name": name, "parameters": {"binary_data": binary}} for name in outputs]
    content = json.dumps({"inputs": inputs, "outputs": wanted}).encode()
    path = "/v2/models/generator/infer"
    if not binary:
        return path, content, {}
    tensors = b"".join(array.tobytes() for array in given.values())
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(content))}
    return path, content + tensors, headers


@contextmanager
def service(model: Path) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """The service in a process of its own, and how long it took to be ready."""
    command = [sys.executable, "-c", "from dcgan.cli import main; main()", "serve", "--model", str(model)]
    started = time.perf_counter()
    process = subprocess.Popen([*command, "--port", str(PORT)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process, time_until_ready(started)
    finally:
        process.terminate()
        process.wait(20)


def time_until_ready(started: float) -> float:
    """Seconds from `started` until the service says that it is ready."""
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/v2/health/ready", timeout=1).close()
            return time.perf_counter() - started
        except OSError:
            time.sleep(0.01)


def raw_images_per_second(model: Path, *, seconds: float) -> float:
    """Images a second of the model alone, in batches of the service's size on as many threads."""
    generator = Generator.load(model, providers="cpu")
    latents, labels = generator.latents_for(CHUNK), generator.labels_for(CHUNK)
    end = time.perf_counter() + seconds

    def draw_until_end(_thread: int) -> int:
        drawn = 0
        while time.perf_counter() < end:
            drawn += len(generator.draw_batch(latents, labels).pixels)
        return drawn

    with ThreadPoolExecutor(default_threads()) as pool:
        return sum(pool.map(draw_until_end, range(default_threads()))) / seconds


def memory(pid: int) -> float:
    """Resident memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def shown(latencies: list[float]) -> str:
    """Median and 99th percentile in ms."""
    cuts = statistics.quantiles(latencies, n=100)
    return f"p50 {1000 * cuts[49]:.1f} ms, p99 {1000 * cuts[98]:.1f} ms"


if __name__ == "__main__":
    typer.run(main)
