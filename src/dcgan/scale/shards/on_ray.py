"""Shards made by the workers of a Ray cluster, a task each; Ray gives the tasks of a worker that died to another."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from dcgan.inference.generator import Generator
from dcgan.scale.cluster import has_gpu
from dcgan.scale.shards.plan import ShardPlan
from dcgan.scale.shards.storage import Storage, open_storage
from dcgan.scale.shards.workers import Made, Submit, make_shard
from dcgan.system.errors import BadDataError, DcganError, UnavailableError
from dcgan.system.files import sha256_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

CANCEL_S = 5.0
"""For the tasks that are given up to end by themselves."""
ATTEMPTS = 5
"""Times that a shard is made again whose worker died."""
GPU_SHARE = 0.25
"""Of a GPU, for each worker: encoding and writing take longer than drawing there."""


class RayWorkers:
    """The workers of a cluster, a core each, and a share of a GPU where they draw on one."""

    def __init__(self, ray: Any, generator: Generator, count: int | None, *, device: str) -> None:
        self._ray, self._generator, self._count = ray, generator, count
        self.device = "CUDA" if device == "cuda" or (device == "auto" and has_gpu(ray)) else "CPU"

    def window(self) -> int:
        """As Workers has it; two for each core, so that none waits for the next."""
        return self._count or max(2, 2 * int(self._ray.cluster_resources().get("CPU", 1)))

    @contextmanager
    def at_work(self, plan: ShardPlan, storage: Storage) -> Iterator[Submit]:
        """As Workers has it."""
        ray, refs = self._ray, set[Any]()
        model = ray.put(_content(self._generator))
        resources = {"num_cpus": 1, "num_gpus": GPU_SHARE if self.device == "CUDA" else 0}
        task = ray.remote(max_retries=ATTEMPTS, scheduling_strategy="SPREAD", **resources)(_make)

        def submit(index: int) -> "Future[Made]":
            ref, future = task.remote(model, plan, storage.address, index), Future[Made]()
            refs.add(ref)

            def end(done: "Future[Made]") -> None:
                refs.discard(ref)
                _pass_on(done, future)

            ref.future().add_done_callback(end)
            return future

        try:
            yield submit
        finally:
            unfinished = list(refs)
            for ref in unfinished:  # within the task this is KeyboardInterrupt: what is half-written is deleted
                ray.cancel(ref)
            if unfinished:
                ray.wait(unfinished, num_returns=len(unfinished), timeout=CANCEL_S)


def _content(generator: Generator) -> "NDArray[Any]":
    """The bytes of a generator's file, which Ray's workers share without copying them."""
    import numpy as np

    path = generator.info.path
    content = np.fromfile(path, np.uint8)
    if sha256_of(path) != generator.info.sha256:
        raise BadDataError(f"{path}: was replaced meanwhile; run again")
    return content


def _make(content: "NDArray[Any]", plan: ShardPlan, address: str, index: int) -> Made:
    """The task: runs in a process of its own, which keeps the generator for the next one."""
    import ray

    if plan.model_sha256 not in _loaded:
        _loaded.clear()
        _loaded[plan.model_sha256] = _load(content, device=plan.device)
    generator = _loaded[plan.model_sha256]
    record = make_shard(generator, plan, open_storage(address), index, is_stopped=lambda: False)
    return Made(record, ray.get_runtime_context().get_node_id())


_loaded: dict[str, Generator] = {}
"""The generator of the process, by the digest of its file."""


def _load(content: "NDArray[Any]", *, device: str) -> Generator:
    with NamedTemporaryFile(suffix=".onnx") as file:
        Path(file.name).write_bytes(content.tobytes())
        is_cuda = device == "CUDA"
        return Generator.load(file.name, providers="cuda" if is_cuda else "cpu", threads=1, strict=is_cuda)


def _pass_on(done: "Future[Made]", future: "Future[Made]") -> None:
    """The outcome of a task, with the error that it met itself in the place of Ray's report of it."""
    from ray.exceptions import RayError, RayTaskError, TaskCancelledError

    try:
        future.set_result(done.result())
    except TaskCancelledError:
        future.cancel()
    except RayTaskError as error:
        future.set_exception(error.cause if isinstance(error.cause, DcganError) else error)
    except RayError as error:
        reason = " ".join(str(error).split())[:200]
        future.set_exception(UnavailableError(f"Ray: a worker failed {ATTEMPTS} times ({reason}); see `ray status`"))
