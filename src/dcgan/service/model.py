"""The model that the service draws with, and its replacement while requests are in progress."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from dcgan.inference.generator import Generator
from dcgan.inference.model_info import ModelInfo
from dcgan.service.batching import Batcher
from dcgan.service.limits import Limits
from dcgan.service.metrics import Metrics
from dcgan.system.errors import DcganError

logger = logging.getLogger("dcgan.service")


class Watch(NamedTuple):
    """What tells that another version is to be served, and how often it is asked."""

    find_version: Callable[[], str | None]
    seconds: float


def identity_headers(info: ModelInfo) -> dict[str, str]:
    """The headers that name the model that drew an answer: its digest and, from a registry, its version."""
    version = {} if info.version is None else {"x-model-version": info.version}
    return {"x-model-sha256": info.sha256, **version}


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
        metrics.tell_model(self.generator.info)
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
            self._metrics.tell_model(generator.info)
            version = "" if generator.info.version is None else f", version {generator.info.version}"
            logger.info("reloaded: sha256 %s%s", generator.info.sha256, version)

    async def follow(self, watch: Watch) -> None:
        """Reload whenever another version is to be served; a registry that does not answer is asked again."""
        is_answered = True
        while True:
            await asyncio.sleep(watch.seconds)
            try:
                version = await asyncio.to_thread(watch.find_version)
            except Exception as error:  # whatever it is must not end the watch
                if is_answered:
                    logger.warning("the registry does not tell which version to serve, the model stays: %s", error)
                is_answered = False
                continue
            if not is_answered:
                logger.info("the registry tells again which version to serve: %s", version)
            is_answered = True
            if version != self.generator.info.version:
                await self.reload()

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
