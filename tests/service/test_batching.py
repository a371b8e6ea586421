"""Requests that share batches get what they would have got alone."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest

from dcgan.inference.generator import Drawn, Generator
from dcgan.service.batching import Batcher
from dcgan.service.limits import Limits
from dcgan.service.metrics import Metrics
from dcgan.system.errors import BadDataError

pytestmark = pytest.mark.anyio

SOON = Limits(max_images=40, max_batch=8, max_wait_seconds=0.02, max_queued_images=40)

together = partial(asyncio.gather, return_exceptions=True)


class SlowGenerator:
    """Draws the sum of each row's latents as one colour, 20 ms a batch; remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.failing = False
        self.held = threading.Event()
        self.held.set()

    def draw_batch(self, latents, labels, *, with_images):
        self.held.wait()
        time.sleep(0.02)
        self.batches.append(len(latents))
        if self.failing:
            raise BadDataError("the model failed")
        colour = (latents.sum(axis=1) + (0 if labels is None else labels)).reshape(-1, 1, 1)
        pixels = np.broadcast_to(colour, (len(latents), 28, 28)).astype(np.uint8)
        return Drawn(pixels[:, None].astype(np.float32) if with_images else None, pixels)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def generator() -> SlowGenerator:
    return SlowGenerator()


@pytest.fixture
def batcher(generator) -> Batcher:
    return new_batcher(generator)


def new_batcher(generator: Any, *, limits: Limits = SOON, workers: int = 1) -> Batcher:
    return Batcher(generator, limits, executor=ThreadPoolExecutor(workers), workers=workers, metrics=Metrics())


def rows(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.float32).reshape(-1, 1)


def colours(drawn: Drawn) -> list[int]:
    return drawn.pixels[:, 0, 0].tolist()


async def test_small_requests_share_one_batch_and_each_gets_its_own_rows_and_images_if_wanted(generator, batcher):
    drawn = await together(*(batcher.draw(rows(i, 10 + i), None, with_images=i == 2) for i in range(4)))
    assert [colours(each) for each in drawn] == [[i, 10 + i] for i in range(4)]
    assert [each.images is not None for each in drawn] == [False, False, True, False]
    assert drawn[2].images[:, 0, 0, 0].tolist() == [2, 12]
    assert generator.batches == [8]


async def test_a_request_alone_waits_no_longer_than_it_must(generator, batcher):
    started = time.monotonic()
    assert colours(await batcher.draw(rows(7), None)) == [7]
    assert 0.02 <= time.monotonic() - started < 0.5
    assert generator.batches == [1]


async def test_a_large_request_is_cut_up_and_put_together_again(generator):
    drawn = await new_batcher(generator, workers=2).draw(rows(*range(21)), None)
    assert colours(drawn) == list(range(21))
    assert sorted(generator.batches) == [5, 8, 8]


async def test_a_small_request_does_not_wait_for_a_large_one(batcher):
    large = asyncio.ensure_future(batcher.draw(rows(*range(39)), None))
    await asyncio.sleep(0)  # it is the first to ask
    await batcher.draw(rows(1), None)
    assert not large.done()
    await large


async def test_too_many_digits_are_refused_and_the_queue_empties_again(generator, batcher):
    generator.held.clear()

    async def let_go() -> int:
        await asyncio.sleep(0.05)
        queued = batcher.queued
        generator.held.set()
        return queued

    *drawn, refused, queued = await together(*(batcher.draw(rows(*range(12)), None) for _ in range(5)), let_go())
    assert queued == 48 - 8  # the first batch has left the queue
    assert [colours(each) for each in drawn] == [list(range(12))] * 4
    assert (refused.status, refused.answer().headers["retry-after"]) == (429, "1")
    assert batcher.queued == 0
    assert colours(await batcher.draw(rows(3), None)) == [3]


async def test_a_request_that_is_given_up_leaves_its_place_in_the_queue(generator, batcher):
    generator.held.clear()
    first = asyncio.ensure_future(batcher.draw(rows(*range(8)), None))
    await asyncio.sleep(0.03)
    given_up = asyncio.ensure_future(batcher.draw(rows(*range(20)), None))
    await asyncio.sleep(0.03)
    given_up.cancel()
    await asyncio.sleep(0)
    queued = batcher.queued
    generator.held.set()
    assert queued == 0
    assert colours(await first) == list(range(8))
    assert generator.batches == [8]


async def test_a_model_that_fails_fails_its_requests_and_no_later_one(generator, batcher):
    generator.failing = True
    failed = await together(batcher.draw(rows(*range(20)), None), batcher.draw(rows(1), None))
    assert all(isinstance(each, BadDataError) for each in failed)
    generator.failing = False
    assert colours(await batcher.draw(rows(5), None)) == [5]
    assert batcher.queued == 0


@pytest.mark.parametrize("workers", [1, 3])
async def test_bits_do_not_depend_on_who_shares_the_batch(model, workers):
    generator = Generator.load(model, providers="cpu")
    batcher = new_batcher(generator, limits=Limits(max_batch=16), workers=workers)
    counts = [1, 3, 64, 10, 200, 2, 7]
    orders = [(generator.latents_for(n, seed=n), generator.labels_for(n)) for n in counts]
    drawn = await together(*(batcher.draw(*order, with_images=True) for order in orders))
    for count, each, order in zip(counts, drawn, orders, strict=True):
        assert np.array_equal(each.pixels, generator.sample(count, seed=count))
        assert np.array_equal(each.images, generator.draw_batch(*order).images)
