"""`make chaos`: how often a killed training ends in the same bytes, and a damaged file goes unseen.

    python tests/faults/chaos.py --kills 200 --point-kills 60 --stops 20 --damages 200

Stages are real processes that are sent real signals; they are forked from one that has imported PyTorch, so that the
faults meet training and saving and not the imports. One table comes out; the exit code is 1 if anything was lost.
"""

import argparse
import itertools
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock

import psutil

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "faults")]

from corruption import Corrupted, corrupt_all  # noqa: E402

from dcgan.checkpoints.file import step_of  # noqa: E402
from dcgan.config.workspace import HISTORY  # noqa: E402
from dcgan.tracking.history import read_history  # noqa: E402
from kill_points import POINTS  # noqa: E402
from stage_server import Ended, RunningStage, StageServer  # noqa: E402
from tiny_workspace import new_workspace, weights_in  # noqa: E402

INTERVAL = 5
CHECKPOINTS = 12
"""So many intervals each of the trainings below has."""
SECTIONS = {
    "train": {"epochs": 500, "batch_size": 16, "checkpoint_every": INTERVAL, "report_every": INTERVAL}
    | {"max_steps": 60, "evaluate_every": 20, "sample_every": 20},
    "classifier": {"epochs": 6, "batch_size": 16, "checkpoint_every": INTERVAL},
}
WORKERS = 2
LONGEST_STOP = 10.0
TRIES = 20
"""A stage may be faster than a signal to it; not so often, unless it heeds none."""
TALLYING = Lock()
"""Held while a tally is changed: the workers share it."""
RENEWING = Lock()
"""Held while a workspace is made: the weights of its classifier come from PyTorch's one stream of random numbers."""


@dataclass
class Tally:
    """What became of one kind of fault."""

    name: str
    tried: int = 0
    survived: int = 0
    equal: int = 0
    unreadable: int = 0
    remarks: Counter = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return self.tried == self.survived == self.equal and not self.unreadable and not self.failures


@dataclass
class Bench:
    """A worker's server of stages, and a workspace that is made new for every trial."""

    server: StageServer
    folder: Path
    straight: dict[str, tuple[dict, list]] = field(default_factory=dict)
    """Stage → weights and history of the uninterrupted run."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Stage → how long the uninterrupted run took."""

    @property
    def history(self) -> list[dict]:
        return read_history(self.folder / HISTORY)

    def renew(self) -> Path:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        with RENEWING:
            return new_workspace(self.folder, **SECTIONS)

    def run_straight(self, stage: str) -> None:
        for _ in range(2):  # the first run is slower
            self.renew()
            started = time.monotonic()
            ended = self.server.run(stage, self.folder)
            assert ended.returncode == 0, ended.stderr
        self.seconds[stage] = time.monotonic() - started
        self.straight[stage] = weights_in(self.folder), self.history

    def judge(self, stage: str, tally: Tally, *, with_history: bool = True) -> None:
        """Start the stage again after a fault, and see what comes out.

        A polite stop reports where it stops, so that its history has a row more.
        """
        is_unfinished = any(not path.parent.suffix for path in self.folder.glob(".checkpoints/*/fingerprint.json"))
        last = max((row["step"] for row in self.history), default=0)
        ended = self.server.run(stage, self.folder)
        weights, history = self.straight[stage]
        is_equal = ended.returncode == 0 and weights_in(self.folder) == weights
        if with_history:
            is_equal = is_equal and self.history == history
        told = re.search(r"going on after step (\d+)", ended.stdout)
        resumed_at = int(told[1]) if told else 0
        with TALLYING:
            tally.tried += 1
            tally.survived += ended.returncode == 0
            tally.unreadable += "damaged" in ended.stderr
            tally.equal += is_equal
            tally.remarks["resumed" if resumed_at else "from the start"] += 1
        if last - resumed_at > INTERVAL and is_unfinished:
            tally.failures.append(f"{last - resumed_at} steps were lost")
        if not is_equal:
            tally.failures.append(f"exit {ended.returncode}: {ended.stderr[-300:]}")


def interrupt(
    bench: Bench, stage: str, rng: random.Random, number: int, *, checkpoints: Sequence[int]
) -> tuple[int, Ended, float]:
    """Signal a stage some time after one of its checkpoints: its pid, how it ended, and the seconds that this took."""
    for _ in range(TRIES):
        bench.renew()
        running = bench.server.start(stage, bench.folder)
        wait_for_step(bench.folder, INTERVAL * rng.choice(checkpoints), running)
        time.sleep(rng.uniform(0, bench.seconds[stage] / 4))
        sent = time.monotonic()
        running.kill(number)
        ended = running.wait()
        if ended.returncode != 0:  # else it was faster, or heeds no signal
            break
    return running.pid, ended, time.monotonic() - sent


def wait_for_step(folder: Path, step: int, running: RunningStage) -> None:
    """Return when a checkpoint of this step or a later one is there, or the stage has ended."""
    while step > max(map(step_of, folder.glob(".checkpoints/*/step-*.safetensors")), default=0):
        if running.has_ended():
            break
        time.sleep(0.005)


def kill_at_random(bench: Bench, stage: str, tally: Tally, rng: random.Random) -> None:
    """SIGKILL at any moment: some time after any of the checkpoints, or after none, however fast the stage is today."""
    _, ended, _ = interrupt(bench, stage, rng, signal.SIGKILL, checkpoints=range(CHECKPOINTS))
    if ended.returncode != -signal.SIGKILL:
        tally.failures.append(f"was not killed: {ended.returncode} {ended.stderr[-200:]}")
    bench.judge(stage, tally)


def kill_at_point(bench: Bench, stage: str, tally: Tally, _: random.Random, *, point: str, after: int) -> None:
    """SIGKILL when a named point of saving is reached."""
    bench.renew()
    ended = bench.server.run(stage, bench.folder, planted=f"import kill_points; kill_points.plant({point!r}, {after})")
    if ended.returncode != -signal.SIGKILL:
        tally.failures.append(f"{point} {after} was not reached: {ended.returncode} {ended.stderr[-200:]}")
    bench.judge(stage, tally)


def stop_politely(bench: Bench, stage: str, tally: Tally, rng: random.Random, *, number: int = signal.SIGTERM) -> None:
    """A signal to the stage's process group after its first checkpoint: it saves, says so, and leaves nobody behind."""
    pid, ended, seconds = interrupt(bench, stage, rng, number, checkpoints=[1])
    has_saved = ended.returncode == 128 + number and "stopped and saved after step" in ended.stderr
    status = run_status(bench.folder)
    if not has_saved or seconds > LONGEST_STOP or orphans(pid) or status not in {"KILLED", None}:
        tally.failures.append(f"exit {ended.returncode} after {seconds:.1f} s, {status}: {ended.stderr[-200:]}")
    tally.remarks["slowest, ms"] = max(tally.remarks["slowest, ms"], round(1000 * seconds))
    tally.remarks[f"run {status or 'not tracked'}"] += 1
    bench.judge(stage, tally, with_history=False)


def orphans(session: int) -> list[int]:
    """Processes of the session that a stage was the leader of."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def run_status(folder: Path) -> str | None:
    """The status of the interrupted run in the workspace's MLflow store, if there is one."""
    database = folder / "mlflow.db"
    if not database.is_file():
        return None
    (reference,) = folder.glob(".checkpoints/*/run.json")
    training_id = json.loads(reference.read_text())["tags"]["training_id"]
    with sqlite3.connect(database) as connection:
        query = "SELECT status FROM runs JOIN tags USING (run_uuid) WHERE key = 'training_id' AND value = ?"
        return connection.execute(query, [training_id]).fetchone()[0]


Trial = Callable[[Bench, str, Tally, random.Random], None]


def in_parallel(name: str, stage: str, trials: Sequence[Trial]) -> Tally:
    """Run the trials on a few workers, each with a workspace of its own; only a polite stop is tracked by MLflow."""
    tally = Tally(name)

    def work(index: int) -> None:
        rng = random.Random(index)
        with tempfile.TemporaryDirectory() as folder, StageServer(with_mlflow=stop_politely in trials) as server:
            bench = Bench(server, Path(folder, "workspace"))
            bench.run_straight(stage)
            for trial in trials[index::WORKERS]:
                trial(bench, stage, tally, rng)

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, range(WORKERS)))
    return tally


def point_kills(stage: str, count: int) -> list[Trial]:
    """Kills at every point in turn, spread over the times that an uninterrupted run reaches it."""
    with tempfile.TemporaryDirectory() as folder, StageServer() as server:
        workspace = Bench(server, Path(folder, "workspace")).renew()
        server.run(stage, workspace, planted="import kill_points; kill_points.plant()")
        reached = Counter((workspace / "points.txt").read_text().split())
    rng, points = random.Random(0), itertools.islice(itertools.cycle(POINTS), count)
    return [partial(kill_at_point, point=point, after=rng.randrange(reached[point])) for point in points]


def damages(count: int) -> list[Corrupted]:
    """Damage to every kind of file."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w") as log, redirect_stderr(log):
        return list(corrupt_all(Path(folder), count=count))


def table(tallies: Sequence[Tally]) -> Iterator[str]:
    """What became of the faults, in Markdown."""
    yield "| fault | times | survived | bitwise equal | unreadable | remarks |"
    yield "|---|---:|---:|---:|---:|---|"
    for each in tallies:
        remarks = ", ".join(f"{name} {count}" for name, count in each.remarks.items())
        yield f"| {each.name} | {each.tried} | {each.survived} | {each.equal} | {each.unreadable} | {remarks} |"


def damage_table(kinds: Sequence[Corrupted]) -> Iterator[str]:
    """What became of the damages, in Markdown."""
    yield "| file | damaged | refused, named, with a way out | silent |"
    yield "|---|---:|---:|---:|"
    for each in kinds:
        yield f"| {each.kind} | {each.damaged} | {each.damaged - each.silent - each.unnamed} | {each.silent} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="of train; a quarter as many of train_classifier")
    parser.add_argument("--point-kills", type=int, default=60, help="of train; a third as many of train_classifier")
    parser.add_argument("--stops", type=int, default=20)
    parser.add_argument("--damages", type=int, default=200, help="of every kind of file")
    options = parser.parse_args()
    kills = {"train": options.kills, "train_classifier": options.kills // 4}
    points = {"train": options.point_kills, "train_classifier": options.point_kills // 3}
    tallies = []
    for name, stage, trials in (
        *(("SIGKILL to `{}` at a random moment", stage, [kill_at_random] * n) for stage, n in kills.items()),
        *(("SIGKILL to `{}` at a named point of saving", stage, point_kills(stage, n)) for stage, n in points.items()),
        ("SIGTERM to `{}`, which saves and ends with 143", "train", [stop_politely] * options.stops),
    ):
        started = time.monotonic()
        tallies.append(in_parallel(name.format(stage), stage, trials))
        took = f"{time.monotonic() - started:.0f} s"
        *_, row = table(tallies)
        print(row, took, *tallies[-1].failures, sep="\n  ", file=sys.stderr, flush=True)
    kinds = damages(options.damages)
    print(*table(tallies), "", *damage_table(kinds), sep="\n")
    return 0 if all(each.is_whole for each in (*tallies, *kinds)) else 1


if __name__ == "__main__":
    sys.exit(main())
