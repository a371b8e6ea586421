"""A set of shards made, completed or checked: `dcgan generate --shards`."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import NamedTuple

from dcgan.scale.shards.plan import ShardPlan
from dcgan.scale.shards.records import (
    MANIFEST,
    UNFINISHED,
    read_records,
    require_same_plan,
    verified,
    write_manifest,
    write_plan,
)
from dcgan.scale.shards.storage import Storage
from dcgan.scale.shards.workers import Workers, make_all
from dcgan.system.errors import StorageError
from dcgan.system.progress import ProgressLines
from dcgan.system.signals import stop_on_signals


class Outcome(NamedTuple):
    """What a call did."""

    num_made: int
    num_there: int
    """Of all shards of the set."""
    digits_per_second: float
    num_nodes: int
    is_complete: bool
    """Whether the manifest is written."""


def make_set(
    workers: Workers, plan: ShardPlan, storage: Storage, *, part: tuple[int, int] = (0, 1), verify: bool = False
) -> Outcome:
    """Make the shards of this part that are missing or damaged, and the manifest once all of the set are there.

    Part (i, n) is every n-th shard from the i-th on, so that n processes make the set without knowing of each other.
    The size of each shard is compared with what was noted when it was made, and with `verify` its digest.

    Raises:
        UsageError: the storage has shards with other options.
        BadDataError: it has shards of another model, or the model failed.
        BusyError: another process makes them.
        Interrupted: by a signal; what was made is kept.
        CannotCreateError, StorageError, UnavailableError: they cannot be written.
    """
    require_same_plan(storage, plan)
    mine = range(part[0], plan.num_shards, part[1])
    records = read_records(storage, plan)
    if verify:
        ours = {index: record for index, record in records.items() if index in mine}
        damaged = ours.keys() - verified(storage, plan, ours).keys()
        for index in damaged:  # now, so that they are missing also if this is interrupted
            storage.remove(plan.name(index))
        records = {index: record for index, record in records.items() if index not in damaged}
    missing = [index for index in mine if index not in records]
    if not missing and len(records) == plan.num_shards and storage.read(MANIFEST) is not None:
        return Outcome(0, plan.num_shards, 0, 0, is_complete=True)
    with storage.locked(UNFINISHED, f"{part[0]}-of-{part[1]}.lock"):
        write_plan(storage, plan)
        speed, num_nodes = _make(workers, plan, storage, missing)
        records = read_records(storage, plan)
        if lost := [index for index in missing if index not in records]:
            raise StorageError(
                f"{storage}: {len(lost)} shards were made, but are not here; "
                "let all workers share this folder, or give s3://bucket/prefix"
            )
        is_complete = len(records) == plan.num_shards
        if is_complete:
            write_manifest(storage, plan, records.values())
    return Outcome(len(missing), len(records), speed, num_nodes, is_complete)


def _make(workers: Workers, plan: ShardPlan, storage: Storage, missing: list[int]) -> tuple[float, int]:
    """Make the missing shards; how many digits a second, and on how many machines."""
    end, done, nodes, started = sum(len(plan.numbers(index)) for index in missing), 0, set[str](), time.monotonic()
    with stop_on_signals() as stop, _progress(end) as advance_to:
        work = make_all(workers, plan, storage, missing)
        try:
            for made in work:
                if made is not None:
                    done += made.record.count
                    nodes.add(made.node)
                advance_to(done)
                if stop():
                    break
        finally:
            work.close()
    if done < end:
        stop.raise_if_made(f"{storage}: stopped; run the same command again to go on")
    return done / max(time.monotonic() - started, 1e-9), len(nodes)


@contextmanager
def _progress(end: int) -> Iterator[Callable[[int], object]]:
    """A bar where stderr is a terminal and `tqdm` is installed, else lines; the function moves it to so many digits."""
    if not (sys.stderr.isatty() and find_spec("tqdm")):
        yield ProgressLines("generate", end=end, unit="digit").advance_to
        return
    from tqdm import tqdm

    with tqdm(desc="generate", total=end, unit="digit", unit_scale=True) as bar:
        yield lambda done: bar.update(done - bar.n)
