"""How fast sets of shards are made: `python benchmarks/shards.py [--count 1000000] [--model FILE]`.

In each round, raw ONNX Runtime draws on as many threads as there are workers, in batches of 64, from latents that are
drawn beforehand; then `dcgan generate --shards` makes a set in each format, in processes of its own, whose memory is
watched. Compare within a round: other work on the machine changes both. With `--address`, on Ray.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import psutil
import typer
from numpy.typing import NDArray

from dcgan.inference.generator import CHUNK, PRETRAINED
from dcgan.inference.session import open_session
from dcgan.system.cores import usable_cores

FORMATS = ("parquet", "webdataset", "npy")


class Measured(NamedTuple):
    """One set of shards."""

    digits_per_second: float
    """By the clock of the command, from the first shard asked for to the last one written."""
    seconds: float
    """Of the command as a whole, with its start."""
    peak_mb: float
    """Of the process that took most memory: resident, shared pages included."""
    bytes_a_digit: float


def main(
    *,
    count: Annotated[int, typer.Option(min=1000)] = 1_000_000,
    model: Annotated[Path, typer.Option(help="an exported generator")] = PRETRAINED,
    shard_size: Annotated[int, typer.Option(min=1)] = 10_000,
    workers: Annotated[int | None, typer.Option(min=1, help="default: as many as cores")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    out: Annotated[Path | None, typer.Option(help="where sets are made; default: a temporary folder")] = None,
    address: Annotated[str | None, typer.Option(help="of a Ray cluster, or local")] = None,
) -> None:
    """Print a table of digits per second, their share of raw ONNX Runtime, peak memory and bytes per digit."""
    workers = workers or usable_cores()
    print(f"{model}, {count:,} digits in shards of {shard_size:,}, {workers} workers, {rounds} rounds\n")
    print("| round | format | digits/s | of raw | seconds | peak MB of a process | bytes a digit |")
    print("|---|---|---|---|---|---|---|")
    shares: dict[str, list[float]] = {name: [] for name in FORMATS}
    options = ["--count", str(count), "--shard-size", str(shard_size), "--workers", str(workers), "--model", str(model)]
    options += [] if address is None else ["--address", address]
    for turn in range(1, rounds + 1):
        raw = raw_speed(model, count=max(1000, count // 10), threads=workers)
        print(f"| {turn} | raw ONNX Runtime | {raw:,.0f} | | | | |", flush=True)
        for name in FORMATS:
            found = make_set([*options, "--format", name, "--seed", str(turn)], out=out, count=count)
            shares[name].append(found.digits_per_second / raw)
            print(
                f"| {turn} | {name} | {found.digits_per_second:,.0f} | {shares[name][-1]:.1%} | {found.seconds:.1f} "
                f"| {found.peak_mb:,.0f} | {found.bytes_a_digit:,.0f} |",
                flush=True,
            )
    medians = ", ".join(f"{name} {statistics.median(values):.1%}" for name, values in shares.items())
    print(f"\nmedian share of raw ONNX Runtime: {medians}")


def raw_speed(model: Path, *, count: int, threads: int) -> float:
    """Digits per second of concurrent calls of the model, pixels alone, after one call each to get ready."""
    session = open_session(model.read_bytes(), providers="cpu", strict=False)
    latent_dim = session.get_inputs()[0].shape[1]
    feed: dict[str, NDArray[Any]] = {
        "latents": np.random.default_rng(0).standard_normal((CHUNK, latent_dim), dtype=np.float32)
    }
    if len(session.get_inputs()) > 1:
        feed["labels"] = np.arange(CHUNK, dtype=np.int64) % 10
    num_calls = -(-count // CHUNK)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: session.run(["pixels"], feed), range(threads)))
        started = time.perf_counter()
        list(pool.map(lambda _: session.run(["pixels"], feed), range(num_calls)))
        return num_calls * CHUNK / (time.perf_counter() - started)


def make_set(options: list[str], *, out: Path | None, count: int) -> Measured:
    """Make a set of shards with the command, watch its processes, and delete the set."""
    folder = Path(tempfile.mkdtemp(dir=out))
    command = [sys.executable, "-m", "dcgan", "generate", "--shards", str(folder / "set"), *options]
    started, peak = time.perf_counter(), 0
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            while process.poll() is None:
                peak = max(peak, largest_process(process.pid))
                time.sleep(0.2)
            told = process.stdout.read() if process.stdout else ""
        seconds = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")
        size = sum(path.stat().st_size for path in (folder / "set").glob("digits-*"))
    finally:
        shutil.rmtree(folder)
    speed = float(told.partition("made now at ")[2].partition(" digits/s")[0].replace(",", ""))
    return Measured(speed, seconds, peak / 2**20, size / count)


def largest_process(pid: int) -> int:
    """Bytes of resident memory of the largest of a process and its descendants, Ray's own servers left out."""
    try:
        root = psutil.Process(pid)
        workers = [each for each in root.children(recursive=True) if each.name().startswith("ray::")]
        sizes: list[int] = [process.memory_info().rss for process in [root, *workers]]
        return max(sizes)
    except psutil.Error:  # it ended meanwhile
        return 0


if __name__ == "__main__":
    typer.run(main)
