"""Who makes shards: threads of this process, or the workers of a Ray cluster; the bytes are the same."""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from threading import Event
from typing import NamedTuple, Protocol

from dcgan.inference import generator as inference
from dcgan.scale.shards.drawing import draw_shard
from dcgan.scale.shards.formats import ENCODERS
from dcgan.scale.shards.plan import ShardPlan
from dcgan.scale.shards.records import ShardRecord, write_record
from dcgan.scale.shards.storage import Storage

ASK_S = 0.5
"""Between two questions whether to stop."""


class Made(NamedTuple):
    """A shard that was made, and where."""

    record: ShardRecord
    node: str


Submit = Callable[[int], "Future[Made]"]
"""Lets a worker make the shard of that index."""


class Workers(Protocol):
    """What makes shards, several at a time."""

    device: str
    """CPU or CUDA: what the generator runs on."""

    def at_work(self, plan: ShardPlan, storage: Storage) -> AbstractContextManager[Submit]:
        """Ready to make shards of a plan; at the end of the block, unfinished ones are given up."""

    def window(self) -> int:
        """How many shards are worth asking for at the same time."""


def make_shard(
    generator: inference.Generator, plan: ShardPlan, storage: Storage, index: int, *, is_stopped: Callable[[], bool]
) -> ShardRecord:
    """Draw a shard, write it, and note it.

    Raises:
        BadDataError: the model failed.
        Interrupted: `is_stopped` said so; nothing was written.
        CannotCreateError, StorageError, UnavailableError: it cannot be written; nothing half-written is left.
    """
    blocks = draw_shard(generator, plan, index, is_stopped=is_stopped)
    encode = ENCODERS[plan.format]
    written = storage.write(plan.name(index), lambda file: encode(file, plan, index, blocks))
    record = ShardRecord(index, len(plan.numbers(index)), written.num_bytes, written.sha256)
    write_record(storage, plan, record)
    return record


def make_all(
    workers: Workers, plan: ShardPlan, storage: Storage, indices: Iterable[int]
) -> Generator[Made | None, None, None]:
    """Each shard as it is made, in any order, and None now and then where none was; closing it ends the work.

    Raises:
        DcganError: a shard cannot be made.
    """
    waiting, running = iter(indices), set[Future[Made]]()
    with workers.at_work(plan, storage) as submit:
        while True:
            while len(running) < workers.window() and (index := next(waiting, None)) is not None:
                running.add(submit(index))
            if not running:
                return
            done, running = wait(running, timeout=ASK_S, return_when=FIRST_COMPLETED)
            yield from (each.result() for each in done)
            yield None


class ThreadWorkers:
    """Threads of this process, each with a shard of its own.

    There is one more than `count`: while one writes, the others keep the cores busy.
    """

    def __init__(self, generator: inference.Generator, count: int) -> None:
        self._generator, self._count, self.device = generator, count, generator.info.device

    def window(self) -> int:
        """As Workers has it."""
        return self._count + 1

    @contextmanager
    def at_work(self, plan: ShardPlan, storage: Storage) -> Iterator[Submit]:
        """As Workers has it."""
        stopped = Event()

        def make(index: int) -> Made:
            return Made(make_shard(self._generator, plan, storage, index, is_stopped=stopped.is_set), "")

        with ThreadPoolExecutor(self._count + 1) as pool:
            try:
                yield lambda index: pool.submit(make, index)
            finally:
                stopped.set()
                pool.shutdown(cancel_futures=True)
