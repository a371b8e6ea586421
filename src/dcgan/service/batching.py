"""Requests that arrive together are drawn together; what each gets does not depend on who shares its batch."""

import asyncio
import time
from collections import deque
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcgan.inference.generator import Drawn, Generator, Labels
from dcgan.inference.latents import Latents
from dcgan.service.errors import RequestError
from dcgan.service.limits import Limits
from dcgan.service.metrics import Metrics


@dataclass(eq=False)
class _Job:
    """One request's latents and labels, how many rows batches have taken so far, and the rows that came back."""

    latents: Latents
    labels: Labels | None
    images: NDArray[np.float32] | None
    """Room for the float images, where they are wanted: four bytes of five."""
    pixels: NDArray[np.uint8]
    done: asyncio.Future[None]
    arrived: float
    taken: int = 0
    drawn: int = 0


_Part = tuple[_Job, slice]


class Batcher:
    """Draws what is asked of one generator in batches, on the threads of `executor`; lives on one event loop.

    A batch takes from every waiting request in turn, so a large one does not keep a small one waiting. Rows are
    independent of each other in the model (its BatchNorm is folded), so a row's bits do not depend on its batch.
    """

    def __init__(
        self,
        generator: Generator,
        limits: Limits,
        *,
        executor: Executor,
        workers: int,
        metrics: Metrics,
    ) -> None:
        self.generator = generator
        self._limits = limits
        self._executor = executor
        self._idle = workers
        self._metrics = metrics
        self._waiting: deque[_Job] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.queued = 0

    async def draw(self, latents: Latents, labels: Labels | None, *, with_images: bool = False) -> Drawn:
        """Pixels, and images where wanted, for latents [N, latent_dim] and, if the model is conditional, labels [N].

        Raises:
            RequestError: 429, too many digits wait already.
            BadDataError: the model failed.
        """
        with self._metrics.drawing():
            return await self._draw(latents, labels, with_images=with_images)

    async def _draw(self, latents: Latents, labels: Labels | None, *, with_images: bool) -> Drawn:
        count = len(latents)
        if self.queued + count > self._limits.max_queued_images:
            raise RequestError(429, f"{self.queued} digits are waiting to be drawn already; try again in a second")
        images = np.empty((count, 1, 28, 28), np.float32) if with_images else None
        pixels, done = np.empty((count, 28, 28), np.uint8), asyncio.get_running_loop().create_future()
        job = _Job(latents, labels, images, pixels, done, arrived=time.monotonic())
        self.queued += count
        self._waiting.append(job)
        self._start_batches()
        try:
            await job.done
        except asyncio.CancelledError:
            self._withdraw(job)
            raise
        return Drawn(job.images, job.pixels)

    def _start_batches(self) -> None:
        """Give idle workers full batches, and others when their oldest request has waited long enough."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting and self._idle:
            wait = min(job.arrived for job in self._waiting) + self._limits.max_wait_seconds - time.monotonic()
            if self.queued < self._limits.max_batch and wait > 0:
                self._timer = asyncio.get_running_loop().call_later(wait, self._start_batches)
                return
            self._start(self._take())

    def _take(self) -> list[_Part]:
        """Rows for one batch, from every waiting request in turn."""
        parts: list[_Part] = []
        room = self._limits.max_batch
        share = max(1, room // len(self._waiting))
        while room and self._waiting:
            job = self._waiting.popleft()
            if not job.taken:
                self._metrics.queue_seconds.observe(time.monotonic() - job.arrived)
            rows = slice(job.taken, min(job.taken + min(share, room), len(job.latents)))
            parts.append((job, rows))
            job.taken = rows.stop
            room -= rows.stop - rows.start
            if job.taken < len(job.latents):
                self._waiting.append(job)
        self.queued -= self._limits.max_batch - room
        return parts

    def _start(self, parts: list[_Part]) -> None:
        self._idle -= 1
        self._metrics.batches.inc()
        started = time.monotonic()
        latents = np.concatenate([job.latents[rows] for job, rows in parts])
        labels = [job.labels[rows] for job, rows in parts if job.labels is not None]
        with_images = any(job.images is not None for job, _ in parts)
        batch = (latents, np.concatenate(labels) if labels else None)
        draw = lambda: self.generator.draw_batch(*batch, with_images=with_images)  # noqa: E731
        running = asyncio.get_running_loop().run_in_executor(self._executor, draw)
        running.add_done_callback(lambda done: self._finish(parts, done, started))

    def _finish(self, parts: list[_Part], done: asyncio.Future[Drawn], started: float) -> None:
        self._idle += 1
        self._metrics.batches.dec()
        error = done.exception()
        if error is None:
            self._metrics.observe_batch(len(done.result().pixels), time.monotonic() - started)
        start = 0
        for job, rows in parts:
            end = start + rows.stop - rows.start
            if error is not None:
                self._withdraw(job)
                if not job.done.done():
                    job.done.set_exception(error)
            else:
                drawn = done.result()
                job.pixels[rows] = drawn.pixels[start:end]
                if job.images is not None and drawn.images is not None:
                    job.images[rows] = drawn.images[start:end]
                job.drawn += end - start
                if job.drawn == len(job.latents) and not job.done.done():
                    job.done.set_result(None)
            start = end
        self._start_batches()

    def _withdraw(self, job: _Job) -> None:
        """Forget the rows of a request that no batch has taken yet."""
        if job in self._waiting:
            self._waiting.remove(job)
            self.queued -= len(job.latents) - job.taken
