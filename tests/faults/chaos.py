"""`make chaos`: how often a killed training ends in the same bytes, and a damaged file goes unseen.

    python tests/faults/chaos.py --kills 200 --point-kills 60 --stops 20 --damages 200

Stages are real processes that are sent real signals; they are forked from one that has imported PyTorch, so that the
faults meet training and saving and not the imports. One table comes out; the exit code is 1 if anything was lost.
"""

import argparse
import hashlib
import itertools
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "faults")]

from corruption import Corrupted, corrupt_all  # noqa: E402

from dcgan.checkpoints.file import step_of  # noqa: E402
from dcgan.config.workspace import HISTORY  # noqa: E402
from dcgan.tracking.history import read_history  # noqa: E402
from kill_points import POINTS  # noqa: E402
from stage_server import RunningStage, StageServer  # noqa: E402
from tiny_workspace import new_workspace  # noqa: E402

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
        return self.tried == self.survived == self.equal and not self.unreadable


def fingerprint(folder: Path, *, with_history: bool = True) -> str:
    """Of all that a training leaves and that is the same in every run: the weights and the history."""
    digest = hashlib.sha256()
    for path in sorted((folder / "models").glob("*.safetensors")):
        digest.update(path.name.encode() + path.read_bytes())
    for row in read_history(folder / HISTORY) if with_history else []:
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


@dataclass
class Bench:
    """A worker's server of stages, and a workspace that is made new for every trial."""

    server: StageServer
    folder: Path
    straight: dict[tuple[str, bool], str] = field(default_factory=dict)
    """(stage, with its history) → fingerprint of the uninterrupted run."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Stage → how long the uninterrupted run took."""

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
        self.straight |= {(stage, whole): fingerprint(self.folder, with_history=whole) for whole in (True, False)}

    def judge(self, stage: str, tally: Tally, *, with_history: bool = True) -> None:
        """Start the stage again after a fault, and see what comes out.

        A polite stop reports where it stops, so that its history has a row more.
        """
        had_finished = not [
            path for path in self.folder.glob(".checkpoints/*/fingerprint.json") if not path.parent.suffix
        ]
        last = max((row["step"] for row in read_history(self.folder / HISTORY)), default=0)
        ended = self.server.run(stage, self.folder)
        found = fingerprint(self.folder, with_history=with_history)
        is_equal = ended.returncode == 0 and found == self.straight[stage, with_history]
        resumed_at = (
            int(ended.stdout.partition("going on after step ")[2].split()[0]) if "going on" in ended.stdout else 0
        )
        with TALLYING:
            tally.tried += 1
            tally.survived += ended.returncode == 0
            tally.unreadable += "damaged" in ended.stderr
            tally.equal += is_equal
            tally.remarks["resumed" if resumed_at else "from the start"] += 1
        if last - resumed_at > INTERVAL and not had_finished:
            tally.failures.append(f"{last - resumed_at} steps were lost")
        if not is_equal:
            tally.failures.append(f"exit {ended.returncode}: {ended.stderr[-300:]}")


def kill_at_random(bench: Bench, stage: str, tally: Tally, rng: random.Random) -> None:
    """SIGKILL at any moment: some time after any of the checkpoints, or after none, however fast the stage is today."""
    while True:
        bench.renew()
        running = bench.server.start(stage, bench.folder)
        wait_for_step(bench.folder, INTERVAL * rng.randrange(CHECKPOINTS), running)
        time.sleep(rng.uniform(0, bench.seconds[stage] / 4))
        running.kill()
        if running.wait().returncode == -signal.SIGKILL:
            break
    bench.judge(stage, tally)


def wait_for_step(folder: Path, step: int, running: RunningStage) -> None:
    """Return when a checkpoint of this step or a later one is there, or the stage has ended."""
    while step > max(map(step_of, folder.glob(".checkpoints/*/step-*.safetensors")), default=0):
        if running.has_ended():
            break
        time.sleep(0.005)


def kill_at_point(bench: Bench, stage: str, tally: Tally, *, point: str, after: int) -> None:
    """SIGKILL when a named point of saving is reached."""
    bench.renew()
    ended = bench.server.run(stage, bench.folder, planted=f"import kill_points; kill_points.plant({point!r}, {after})")
    if ended.returncode != -signal.SIGKILL:
        tally.failures.append(f"{point} {after} was not reached: {ended.returncode} {ended.stderr[-200:]}")
    bench.judge(stage, tally)


def count_points(bench: Bench, stage: str) -> dict[str, int]:
    """How often an uninterrupted run reaches each point."""
    bench.renew()
    bench.server.run(stage, bench.folder, planted="import kill_points; kill_points.count()")
    return json.loads((bench.folder / "points.json").read_text())


def stop_politely(bench: Bench, stage: str, tally: Tally, rng: random.Random, *, number: int = signal.SIGTERM) -> None:
    """A signal to the stage's process group after its first checkpoint: it saves, says so, and leaves nobody behind."""
    for _ in range(TRIES):
        bench.renew()
        running = bench.server.start(stage, bench.folder)
        wait_for_step(bench.folder, INTERVAL, running)
        time.sleep(rng.uniform(0, bench.seconds[stage] / 4))
        started = time.monotonic()
        running.kill(number)
        ended = running.wait()
        seconds = time.monotonic() - started
        if ended.returncode != 0:  # else it was faster, or heeds no signal
            break
    has_saved = ended.returncode == 128 + number and "stopped and saved after step" in ended.stderr
    status = run_status(bench.folder)
    if not has_saved or seconds > LONGEST_STOP or orphans(running.pid) or status not in {"KILLED", None}:
        tally.failures.append(f"exit {ended.returncode} after {seconds:.1f} s, {status}: {ended.stderr[-200:]}")
    tally.remarks["slowest, ms"] = max(tally.remarks["slowest, ms"], round(1000 * seconds))
    tally.remarks[f"run {status or 'not tracked'}"] += 1
    bench.judge(stage, tally, with_history=False)


def orphans(session: int) -> list[str]:
    """Processes of the session that a stage was the leader of."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


def run_status(folder: Path) -> str | None:
    """The status of the interrupted run in the workspace's MLflow store, if there is one."""
    import sqlite3

    database = folder / "mlflow.db"
    if not database.is_file():
        return None
    (reference,) = folder.glob(".checkpoints/*/run.json")
    training_id = json.loads(reference.read_text())["tags"]["training_id"]
    with sqlite3.connect(database) as connection:
        query = "SELECT status FROM runs JOIN tags USING (run_uuid) WHERE key = 'training_id' AND value = ?"
        return connection.execute(query, [training_id]).fetchone()[0]


Trial = Callable[[Bench, random.Random], None]


def in_parallel(tally: Tally, trials: Sequence[Trial], stages: Sequence[str], *, with_mlflow: bool = False) -> Tally:
    """Run the trials on a few workers, each with a workspace of its own."""

    def work(index: int) -> None:
        rng = random.Random(index)
        with tempfile.TemporaryDirectory() as folder, StageServer(with_mlflow=with_mlflow) as server:
            bench = Bench(server, Path(folder, "workspace"))
            for stage in stages:
                bench.run_straight(stage)
            for trial in trials[index::WORKERS]:
                trial(bench, rng)

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, range(WORKERS)))
    return tally


def random_kills(stage: str, count: int) -> Tally:
    tally = Tally(f"SIGKILL to `{stage}` at a random moment")
    return in_parallel(tally, [lambda bench, rng: kill_at_random(bench, stage, tally, rng)] * count, [stage])


def point_kills(stage: str, count: int) -> Tally:
    """Kills at every point in turn, spread over the times that it is reached."""
    tally = Tally(f"SIGKILL to `{stage}` at a named point of saving")
    with tempfile.TemporaryDirectory() as folder, StageServer() as server:
        reached = count_points(Bench(server, Path(folder, "workspace")), stage)
    rng = random.Random(0)
    chosen = [(point, rng.randrange(reached[point])) for point in itertools.islice(itertools.cycle(POINTS), count)]
    trials = [
        lambda bench, _, point=point, after=after: kill_at_point(bench, stage, tally, point=point, after=after)
        for point, after in chosen
    ]
    return in_parallel(tally, trials, [stage])


def polite_stops(stage: str, count: int) -> Tally:
    tally = Tally(f"SIGTERM to `{stage}`, which saves and ends with 143")
    return in_parallel(
        tally, [lambda bench, rng: stop_politely(bench, stage, tally, rng)] * count, [stage], with_mlflow=True
    )


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
    tallies = []
    for run in (
        lambda: random_kills("train", options.kills),
        lambda: random_kills("train_classifier", options.kills // 4),
        lambda: point_kills("train", options.point_kills),
        lambda: point_kills("train_classifier", options.point_kills // 3),
        lambda: polite_stops("train", options.stops),
    ):
        started = time.monotonic()
        tallies.append(run())
        took = f"{time.monotonic() - started:.0f} s"
        *_, row = table(tallies)
        print(row, took, *tallies[-1].failures, sep="\n  ", file=sys.stderr, flush=True)
    kinds = damages(options.damages)
    print(*table(tallies), "", *damage_table(kinds), sep="\n")
    lost = [each.name for each in tallies if not each.is_whole or each.failures]
    unseen = [each.kind for each in kinds if each.silent or each.unnamed]
    return 1 if lost or unseen else 0


if __name__ == "__main__":
    sys.exit(main())
