"""Digits from a generator.onnx: load it once, then sample as often as needed."""

import math
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcgan.inference.arguments import chosen_digits, latents_and_labels, require_truncation, require_whole
from dcgan.inference.latents import Latents, draw_latents, interpolate
from dcgan.inference.model_file import read_model, way_out
from dcgan.inference.model_info import ModelInfo, describe
from dcgan.inference.session import Providers, one_line, open_session
from dcgan.system.cores import default_threads
from dcgan.system.errors import BadDataError, UsageError

CHUNK, MIN_CHUNK = 64, 8
"""Most and fewest images that a call of the model draws when threads share a request."""

MAX_COUNT = 100_000
PROBE_COUNT = 10
PRETRAINED = Path(__file__).with_name("pretrained.onnx")

Labels = NDArray[np.int64]
Pixels = NDArray[np.uint8]


class Drawn(NamedTuple):
    """Both outputs of the model for N latents."""

    images: NDArray[np.float32] | None
    """float32 [N, 1, 28, 28] in [-1, 1]; None if only the pixels were wanted."""
    pixels: Pixels
    """uint8 [N, 28, 28]: 0 background, 255 ink."""


class Generator:
    """A loaded generator; safe to use from several threads at once."""

    def __init__(self, session: Any, info: ModelInfo, *, threads: int) -> None:
        self._session = session
        self._threads = threads
        self.info = info

    @classmethod
    def load(
        cls, path: Path | str, *, providers: Providers = "auto", threads: int | None = None, strict: bool = False
    ) -> "Generator":
        """Load a model that keeps the project's ONNX contract, and draw a few digits to prove it.

        Args:
            path: a generator.onnx; it is read once and never again.
            providers: auto takes CUDA where a device answers, the CPU otherwise.
            threads: chunks of 64 images that are drawn at the same time; None: as `default_threads` says.
            strict: whether CUDA asked for but not obtained is an error, instead of a RuntimeWarning and the CPU.

        Raises:
            BadDataError: the file is missing, damaged, not ONNX, not self-contained or not such a generator.
            UnavailableError: CUDA was not obtained, and `strict`.
            UsageError: `threads` is less than 1, or `providers` unknown.
        """
        if threads is not None:
            require_whole("threads", threads, 1, sys.maxsize, expected="1 or more")
        if providers not in ("auto", "cpu", "cuda"):
            raise UsageError(f"providers: {providers!r} is unknown; expected auto, cpu or cuda")
        path = Path(path)
        content = read_model(path)
        try:
            session = open_session(content, providers=providers, strict=strict)
            info = describe(session, content, path)
        except ValueError as error:
            raise BadDataError(f"{path}: {error}; {way_out(path)}") from error
        generator = cls(session, info, threads=threads or default_threads())
        generator._probe()
        return generator

    @classmethod
    def pretrained(cls, *, providers: Providers = "auto", threads: int | None = None) -> "Generator":
        """Load the generator that comes with the package, which the default configuration trained on MNIST.

        Raises:
            UsageError: as `load`.
        """
        return cls.load(PRETRAINED, providers=providers, threads=threads)

    def __repr__(self) -> str:
        """As `<Generator models/generator.onnx: 10 classes, 100 normal latents, on CPU>`."""
        contract = self.info.contract
        classes = f"{contract.num_classes} classes" if contract.conditional else "unconditional"
        latents = f"{contract.latent_dim} {contract.latent_distribution} latents"
        return f"<Generator {self.info.path}: {classes}, {latents}, on {self.info.device}>"

    def sample(
        self,
        count: int,
        *,
        digits: int | Sequence[int] | None = None,
        seed: int = 0,
        truncation: float = 1.0,
    ) -> Pixels:
        """Draw `count` digits, uint8 [count, 28, 28], 0 background and 255 ink; a function of the arguments alone.

        Args:
            count: 1 to 100,000.
            digits: one digit for all, or digits to take in turn; None: all in turn. Only for conditional models.
            seed: 0 to 2^63 - 1; the same seed draws the same digits, however many others are drawn after them.
            truncation: in (0, 1], scales the latents; 1 draws as trained, less draws more typical, less varied digits.

        Raises:
            UsageError: an argument is out of range, or the model is unconditional and `digits` are given.
            BadDataError: the model failed.
        """
        labels = self.labels_for(count, digits=digits)
        return self.draw(self.latents_for(count, seed=seed, truncation=truncation), labels)

    def interpolate(
        self, from_seed: int, to_seed: int, *, steps: int = 12, digit: int | None = None, truncation: float = 1.0
    ) -> Pixels:
        """`steps` digits from the first digit of one seed to that of another, uint8 [steps, 28, 28].

        Args:
            from_seed: where it begins; the first image is that of `sample(1, seed=from_seed)` for the same digit.
            to_seed: where it ends.
            steps: 2 to 100,000, the two ends included.
            digit: which digit to draw all the way; None: 0, or whatever an unconditional model draws.
            truncation: as `sample` has it.

        Raises:
            UsageError, BadDataError: as `sample`.
        """
        latents = self.interpolation_latents(from_seed, to_seed, steps=steps, truncation=truncation)
        return self.draw(latents, self.interpolation_labels(steps, digit=digit))

    def interpolation_latents(self, from_seed: int, to_seed: int, *, steps: int, truncation: float = 1.0) -> Latents:
        """The latents [steps, latent_dim] that `interpolate` uses."""
        require_whole("steps", steps, 2, MAX_COUNT, expected=f"2 to {MAX_COUNT:,}")
        ends = (self.latents_for(1, seed=seed, truncation=truncation)[0] for seed in (from_seed, to_seed))
        return interpolate(*ends, steps=steps, distribution=self.info.contract.latent_distribution)

    def interpolation_labels(self, steps: int, *, digit: int | None = None) -> Labels | None:
        """The digits [steps] that `interpolate` asks for; None if the model is unconditional."""
        return self.labels_for(steps, digits=0 if digit is None and self.info.contract.conditional else digit)

    def latents_for(self, count: int, *, seed: int = 0, truncation: float = 1.0) -> Latents:
        """The latents [count, latent_dim] that `sample` uses, drawn in one call."""
        require_whole("count", count, 1, MAX_COUNT, expected=f"1 to {MAX_COUNT:,}")
        require_whole("seed", seed, 0, 2**63 - 1, expected="0 to 2^63 - 1")
        require_truncation(truncation)
        rng = np.random.Generator(np.random.Philox(seed))
        return draw_latents(self.info.contract, count, rng=rng) * np.float32(truncation)

    def labels_for(self, count: int, *, digits: int | Sequence[int] | None = None) -> Labels | None:
        """The digits [count] that `sample` asks for; None if the model is unconditional."""
        require_whole("count", count, 1, MAX_COUNT, expected=f"1 to {MAX_COUNT:,}")
        num_classes = self.info.contract.num_classes
        if num_classes == 0:
            if digits is not None:
                raise UsageError("digits: the model is unconditional and draws any digit; leave them out")
            return None
        if digits is None:
            return np.arange(count, dtype=np.int64) % num_classes
        return np.resize(np.asarray(chosen_digits(digits, num_classes=num_classes), dtype=np.int64), count)

    def draw(self, latents: Latents, labels: Labels | None) -> Pixels:
        """Digits uint8 [N, 28, 28] from latents [N, latent_dim] and, if the model is conditional, labels [N].

        Raises:
            BadDataError: the model failed.
            UsageError: latents or labels do not go with the model.
        """
        latents, labels = latents_and_labels(self.info.contract, latents, labels)
        size = min(CHUNK, max(MIN_CHUNK, math.ceil(len(latents) / self._threads)))
        starts = range(0, len(latents), size)
        chunks = [self._feed(latents, labels, slice(start, start + size)) for start in starts]
        if len(chunks) == 1 or self._threads == 1:
            return np.concatenate([self._run(chunk) for chunk in chunks])
        with ThreadPoolExecutor(min(self._threads, len(chunks))) as pool:
            return np.concatenate(list(pool.map(self._run, chunks)))

    def draw_batch(self, latents: Latents, labels: Labels | None, *, with_images: bool = True) -> Drawn:
        """Pixels, and images if wanted, of a few latents [N, latent_dim], by one call of the model on this thread.

        Raises:
            BadDataError: the model failed.
        """
        feed = self._feed(latents, labels, slice(None))
        return Drawn(*self._outputs(["images", "pixels"], feed)) if with_images else Drawn(None, self._run(feed))

    def _feed(self, latents: Latents, labels: Labels | None, chosen: slice) -> dict[str, NDArray[Any]]:
        return {"latents": latents[chosen]} | ({} if labels is None else {"labels": labels[chosen]})

    def _run(self, feed: dict[str, NDArray[Any]]) -> Pixels:
        pixels: Pixels = self._outputs(["pixels"], feed)[0]
        return pixels

    def _outputs(self, names: list[str], feed: dict[str, NDArray[Any]]) -> list[Any]:
        try:
            outputs: list[Any] = self._session.run(names, feed)
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise BadDataError(f"{self.info.path}: the model failed: {one_line(error)}") from error
        return outputs

    def _probe(self) -> None:
        """Draw a few digits: shapes may lie until then, and a damaged weight may give no number."""
        feed = self._feed(self.latents_for(PROBE_COUNT), self.labels_for(PROBE_COUNT), slice(None))
        images, pixels = self._outputs(["images", "pixels"], feed)
        shape = (PROBE_COUNT, 28, 28)
        if images.shape != (PROBE_COUNT, 1, 28, 28) or pixels.shape != shape:
            found = f"{list(images.shape)} and {list(pixels.shape)}"
            raise BadDataError(f"{self.info.path}: draws images and pixels of shapes {found} for {PROBE_COUNT} latents")
        if not np.all(np.abs(images) <= 1):  # false for NaN too
            raise BadDataError(f"{self.info.path}: draws values outside [-1, 1]; its weights are damaged")
        if np.any(np.abs(pixels - (images.reshape(shape) + 1) * 127.5) > 0.51):
            raise BadDataError(f"{self.info.path}: its pixels are not its images scaled to 0..255")
