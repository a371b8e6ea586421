"""Requests that share batches get what they would have got alone."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from dcgan.inference.generator import Drawn, Generator
from dcgan.service.batching import Batcher
from dcgan.service.limits import Limits
from dcgan.system.errors import BadDataError
from tiny_onnx import write_model

SOON = Limits(max_images=40, max_batch=8, max_wait_seconds=0.02, max_queued_images=40)


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


def run(generator: Any, play: Any, *, limits: Limits = SOON, workers: int = 1) -> Any:
    """What `play(batcher)` returns on an event loop with that many threads."""

    async def main() -> Any:
        with ThreadPoolExecutor(workers) as executor:
            return await play(Batcher(generator, limits, executor=executor, workers=workers))

    return asyncio.run(main())


def rows(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.float32).reshape(-1, 1)


def colours(drawn: Drawn) -> list[int]:
    return drawn.pixels[:, 0, 0].tolist()


async def together(*coroutines: Coroutine[Any, Any, Any]) -> list[Any]:
    return await asyncio.gather(*coroutines, return_exceptions=True)


def test_small_requests_share_one_batch_and_each_gets_its_own_rows():
    generator = SlowGenerator()
    drawn = run(generator, lambda b: together(*(b.draw(rows(i, 10 + i), None) for i in range(4))))
    assert [colours(each) for each in drawn] == [[i, 10 + i] for i in range(4)]
    assert generator.batches == [8]


def test_a_request_alone_waits_no_longer_than_it_must():
    generator = SlowGenerator()
    started = time.monotonic()
    assert colours(run(generator, lambda b: b.draw(rows(7), None))) == [7]
    assert 0.02 <= time.monotonic() - started < 0.5
    assert generator.batches == [1]


def test_a_large_request_is_cut_up_and_put_together_again():
    generator = SlowGenerator()
    assert colours(run(generator, lambda b: b.draw(rows(*range(21)), None), workers=2)) == list(range(21))
    assert sorted(generator.batches) == [5, 8, 8]


def test_a_small_request_does_not_wait_for_a_large_one():
    generator, order = SlowGenerator(), []

    async def noting(name: str, drawing: Coroutine[Any, Any, Drawn]) -> None:
        await drawing
        order.append(name)

    run(
        generator,
        lambda b: together(noting("large", b.draw(rows(*range(39)), None)), noting("small", b.draw(rows(1), None))),
    )
    assert order == ["small", "large"]


def test_too_many_digits_are_refused_and_the_queue_empties_again():
    generator = SlowGenerator()
    generator.held.clear()

    async def play(batcher: Batcher) -> None:
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

    run(generator, play)


def test_a_request_that_is_given_up_leaves_its_place_in_the_queue():
    generator = SlowGenerator()
    generator.held.clear()

    async def play(batcher: Batcher) -> None:
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

    run(generator, play)
    assert generator.batches == [8]


def test_a_model_that_fails_fails_its_requests_and_no_later_one():
    generator = SlowGenerator()
    generator.failing = True

    async def play(batcher: Batcher) -> None:
        failed = await together(batcher.draw(rows(*range(20)), None), batcher.draw(rows(1), None))
        assert all(isinstance(each, BadDataError) for each in failed)
        generator.failing = False
        assert colours(await batcher.draw(rows(5), None)) == [5]
        assert batcher.queued == 0

    run(generator, play)


def test_images_are_drawn_for_those_who_want_them():
    wanted, unwanted = run(
        SlowGenerator(), lambda b: together(b.draw(rows(1, 2), None, with_images=True), b.draw(rows(3), None))
    )
    assert wanted.images[:, 0, 0, 0].tolist() == [1, 2]
    assert unwanted.images is None
    assert colours(unwanted) == [3]


@pytest.mark.parametrize("workers", [1, 3])
def test_bits_do_not_depend_on_who_shares_the_batch(tmp_path, workers):
    generator = Generator.load(write_model(tmp_path / "generator.onnx"), providers="cpu")
    counts = [1, 3, 64, 10, 200, 2, 7]
    orders = [(generator.latents_for(n, seed=n), generator.labels_for(n)) for n in counts]

    def play(batcher: Batcher) -> Any:
        return together(*(batcher.draw(*order, with_images=True) for order in orders))

    drawn = run(generator, play, limits=Limits(max_batch=16), workers=workers)
    for count, each, order in zip(counts, drawn, orders, strict=True):
        assert np.array_equal(each.pixels, generator.sample(count, seed=count))
        assert np.array_equal(each.images, generator.draw_batch(*order).images)
