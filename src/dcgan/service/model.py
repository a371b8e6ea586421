"""The model that the service draws with, and its replacement while requests are in progress."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from dcgan.inference.generator import Generator
from dcgan.service.batching import Batcher
from dcgan.service.limits import Limits
from dcgan.service.metrics import Metrics
from dcgan.system.errors import DcganError

logger = logging.getLogger("dcgan.service")


class ServedModel:
    """The generator in use behind its batcher; a request keeps the batcher that it began with."""

    def __init__(self, load: Callable[[], Generator], limits: Limits, metrics: Metrics, *, threads: int) -> None:
        """Load the first model, of which `threads` batches are drawn at the same time.

        Raises:
            DcganError: as `load`.
        """
        self._load, self._limits, self._metrics, self._threads = load, limits, metrics, threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="draw")
        self._reloading = asyncio.Lock()
        self.batcher = self._new_batcher(load())
        metrics.queued_images.set_function(lambda: self.batcher.queued)
        metrics.tell_capacity(limits, threads=threads)

    @property
    def generator(self) -> Generator:
        """The generator that new requests get."""
        return self.batcher.generator

    async def reload(self) -> None:
        """Load the model anew; what cannot be loaded leaves the present one in place. One reload at a time."""
        async with self._reloading:
            try:
                generator = await asyncio.to_thread(self._load)
            except DcganError as error:
                self._metrics.reloads.labels("refused").inc()
                logger.error("reload refused, the model stays: %s", error)
                return
            except Exception:
                self._metrics.reloads.labels("refused").inc()
                logger.exception("reload failed, the model stays")
                return
            self.batcher = self._new_batcher(generator)
            self._metrics.reloads.labels("done").inc()
            logger.info("reloaded: sha256 %s", generator.info.sha256)

    def close(self) -> None:
        """Let the drawing threads end."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _new_batcher(self, generator: Generator) -> Batcher:
        return Batcher(
            generator,
            self._limits,
            executor=self._executor,
            workers=self._threads,
            metrics=self._metrics,
        )
