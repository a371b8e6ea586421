"""`dcgan generate --shards`: the generator, the plan and the workers, and what the command says in the end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from dcgan.inference.generator import Generator
from dcgan.scale.shards.plan import ShardPlan, new_plan
from dcgan.scale.shards.run import Outcome, make_set
from dcgan.scale.shards.storage import open_storage
from dcgan.scale.shards.workers import ThreadWorkers, Workers
from dcgan.system.cores import default_threads
from dcgan.system.required import required


def generate_shards(
    shards: str,
    model: Path,
    *,
    count: int,
    digits: Sequence[int] | None,
    seed: int,
    truncation: float,
    format_name: str,
    shard_size: int | None,
    device: Any,
    workers: int | None,
    address: str | None,
    part: tuple[int, int],
    verify: bool,
) -> None:
    """Make the shards of this part that are missing or damaged.

    Raises:
        DcganError: as `new_plan`, `open_storage`, `connected` and `make_set`.
    """
    storage = open_storage(shards)
    generator = Generator.load(model, providers="cpu" if address else device, threads=1, strict=device == "cuda")
    planned = partial(
        new_plan,
        generator.info,
        count=count,
        digits=digits,
        seed=seed,
        truncation=truncation,
        format_name=format_name,
        shard_size=shard_size,
    )
    planned(device="")  # what is wrong with it is told before a cluster is looked for
    with _workers(generator, workers, address, device=device) as makers:
        plan = planned(device=makers.device)
        outcome = make_set(makers, plan, storage, part=part, verify=verify)
    print(f"{shards}: {_told(plan, outcome)}; drawn by {model}")


@contextmanager
def _workers(generator: Generator, count: int | None, address: str | None, *, device: str) -> Iterator[Workers]:
    count = count or (None if address else default_threads())
    if address is None:
        yield ThreadWorkers(generator, count or 1)
        return
    from dcgan.scale.cluster import connected
    from dcgan.scale.shards.on_ray import RayWorkers

    with required("--address", extra="scale"), connected(address, num_cpus=count or default_threads()) as ray:
        yield RayWorkers(ray, generator, count, device=device)


def _told(plan: ShardPlan, outcome: Outcome) -> str:
    """What was made, what is there, and how fast it went."""
    speed = f"{outcome.num_made:,} made now at {outcome.digits_per_second:,.0f} digits/s"
    nodes = f" on {outcome.num_nodes} machines" if outcome.num_nodes > 1 else ""
    now = speed + nodes if outcome.num_made else "nothing to do"
    rest = "" if outcome.is_complete else f"; still missing: {plan.num_shards - outcome.num_there:,}"
    return f"{outcome.num_there:,} of {plan.num_shards:,} {plan.format} shards are there, {now}{rest}"
