"""One training by several processes, as `torchrun --nproc-per-node 2 pipeline/train.py` starts them.

Each takes its share of every batch, and the gradients are averaged in one piece, as StyleGAN3 and R3GAN do: PyTorch's
DistributedDataParallel does not see `autograd.grad`, and its SyncBatchNorm has no second derivative. So BatchNorm sees
one process's share, and a training by two is not that by one; without BatchNorm they differ by rounding alone. Weights
and running statistics are the same in all processes after every step. Where one process trains alone, all of this does
nothing.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, distributed, nn

from dcgan.checkpoints.folder import CheckpointFolder
from dcgan.checkpoints.tensors import Resumable, State
from dcgan.system.errors import UnavailableError, UsageError

Value = TypeVar("Value")


class SharedCheckpoints(CheckpointFolder):
    """A folder of checkpoints that the first process reads and writes; the others get its state."""

    def save(self, state: Resumable) -> None:
        """Save the state that all processes have."""
        if rank() == 0:
            super().save(state)

    def restore(self, state: State) -> State:
        """Load the newest whole checkpoint, if there is one, in all processes."""
        restore = super().restore
        if world_size() == 1:
            return restore(state)

        def read() -> tuple[dict[str, Tensor], dict[str, Any]]:
            restore(state)
            return {name: tensor.cpu() for name, tensor in state.tensors().items()}, state.progress()

        tensors, progress = from_first(read)
        if rank() > 0:
            state.load(tensors, progress)
        return state


@contextmanager
def process_group(device: torch.device, lock: AbstractContextManager[None], *, batch_size: int) -> Iterator[None]:
    """Within the block, the processes that torchrun started know each other, and the first one holds the lock.

    Raises:
        UsageError: they cannot share a batch equally.
        UnavailableError: one of them has ended.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if batch_size % size:
        raise UsageError(f"train.batch_size: {batch_size} cannot be shared by {size} processes; make it a multiple")
    if size == 1:
        with lock:
            yield
        return
    # torchrun keeps its store when it starts all again, with the addresses of processes that are gone.
    store, number, size = next(distributed.rendezvous("env://"))  # type: ignore[attr-defined]
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = distributed.PrefixStore(attempt, store)  # type: ignore[attr-defined]
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=number, world_size=size)
    try:
        with lock if rank() == 0 else nullcontext():
            yield
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            message = "train: another process of this training has ended; its own message tells why"
            raise UnavailableError(message) from error
        raise
    finally:
        distributed.destroy_process_group()


def rank() -> int:
    """Which of the processes this is; the first, 0, alone writes and tracks."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def average(tensors: Sequence[Tensor]) -> None:
    """Replace tensors of one type by their means over all processes, in one message."""
    if world_size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= world_size()
    means = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, mean in zip(tensors, means, strict=True):
        tensor.copy_(mean.view_as(tensor))


def average_statistics(networks: Iterable[nn.Module]) -> None:
    """Replace BatchNorm's running means and variances by their means over all processes."""
    average([buffer for network in networks for buffer in network.buffers() if buffer.is_floating_point()])


def from_first(compute: Callable[[], Value]) -> Value:
    """What the first process computes, in all processes."""
    if world_size() == 1:
        return compute()
    box: list[Any] = [compute() if rank() == 0 else None]
    distributed.broadcast_object_list(box, src=0)
    return cast("Value", box[0])


def any_requests(stop: Callable[[], bool], *, device: torch.device, is_asked: bool) -> bool:
    """Whether one of the processes is to stop; several wait for each other's answer, and ask only if `is_asked`."""
    if world_size() == 1:
        return stop()
    if not is_asked:
        return False
    flag = torch.tensor(int(stop()), device=device)
    distributed.all_reduce(flag, distributed.ReduceOp.MAX)
    return bool(flag)
