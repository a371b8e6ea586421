"""`POST /v1/images` and `/v1/walks`: digits as a PNG grid, a zip of PNGs, a NumPy array or JSON."""

import io
import json
import zipfile
from typing import Annotated

from pydantic import ConfigDict, Discriminator, Field, Tag

from dcgan.inference.contract import MAX_CLASSES
from dcgan.inference.encoding import Encoder, Samples, encode_npy, encode_png
from dcgan.inference.generator import Generator, Labels
from dcgan.inference.latents import Latents
from dcgan.service.errors import RequestError
from dcgan.service.message import Message

MAX_SEED = 2**63 - 1

Digit = Annotated[int, Field(ge=0, lt=MAX_CLASSES)]
"""Of the served model's classes, as `labels_for` checks."""
SeveralDigits = Annotated[list[Digit], Field(min_length=1, max_length=1000)]
Digits = Annotated[
    Annotated[Digit, Tag("one-digit")] | Annotated[SeveralDigits, Tag("several-digits")],
    Discriminator(lambda digits: "several-digits" if isinstance(digits, list) else "one-digit"),
]
"""Discriminated, so that a mistake is told once: as one digit's, or as that of one in a list."""
Seed = Annotated[int, Field(ge=0, le=MAX_SEED, description="The same seed draws the same digits.")]
Truncation = Annotated[
    float, Field(gt=0, le=1, allow_inf_nan=False, description="Less draws more typical, less varied digits.")
]


class ImagesRequest(Message):
    """Digits from one seed."""

    model_config = ConfigDict(strict=True)

    count: Annotated[int, Field(ge=1, description="How many; the service has a limit of its own.")] = 64
    digits: Annotated[
        Digits | None, Field(description="One digit for all, or digits to take in turn; null: all in turn.")
    ] = None
    seed: Seed = 0
    truncation: Truncation = 1.0

    def inputs(self, generator: Generator, *, most: int) -> tuple[Latents, Labels | None]:
        """What to draw from; UsageError or RequestError if the model or the limit does not allow it."""
        require_at_most(self.count, most, "count")
        latents = generator.latents_for(self.count, seed=self.seed, truncation=self.truncation)
        return latents, generator.labels_for(self.count, digits=self.digits)


class InterpolationRequest(Message):
    """Digits between the first digit of one seed and that of another."""

    model_config = ConfigDict(strict=True)

    from_seed: Seed
    to_seed: Seed
    steps: Annotated[int, Field(ge=2, description="Both ends included.")] = 12
    digit: Annotated[Digit | None, Field(description="Which digit to draw all the way; null: 0.")] = None
    truncation: Truncation = 1.0

    @property
    def seed(self) -> int:
        """The one that the first digit is drawn from."""
        return self.from_seed

    def inputs(self, generator: Generator, *, most: int) -> tuple[Latents, Labels | None]:
        """As of `ImagesRequest`."""
        require_at_most(self.steps, most, "steps")
        ends, truncation = (self.from_seed, self.to_seed), self.truncation
        latents = generator.interpolation_latents(*ends, steps=self.steps, truncation=truncation)
        return latents, generator.interpolation_labels(self.steps, digit=self.digit)


def require_at_most(count: int, most: int, name: str) -> None:
    """Refuse what one request may not ask for."""
    if count > most:
        raise RequestError(422, f"{name}: {count} is more than the {most:,} that one request may ask for")


def encoder_for(accept: str) -> tuple[str, Encoder]:
    """Media type and encoder that an Accept header prefers; a PNG grid where it does not mind.

    Raises:
        RequestError: 406, the service has none of what is accepted.
    """
    for media_type in _by_preference(accept):
        if media_type in ("*/*", "image/*"):
            return "image/png", _ENCODERS["image/png"]
        if media_type in _ENCODERS:
            return media_type, _ENCODERS[media_type]
    raise RequestError(406, f"accept: none of it can be answered; choose from {', '.join(_ENCODERS)}")


def _by_preference(accept: str) -> list[str]:
    """The media types of an Accept header, most wanted first."""
    weighted = []
    for part in (accept or "*/*").lower().split(","):
        media_type, *parameters = (each.strip() for each in part.split(";"))
        quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        weight = float(quality) if quality.replace(".", "", 1).isdecimal() and quality.isascii() else 0.0
        if weight > 0:
            weighted.append((-weight, media_type))
    return [media_type for _, media_type in sorted(weighted, key=lambda each: each[0])]


def _encode_zip(samples: Samples) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # PNGs are compressed already
        for index, pixels in enumerate(samples.pixels):
            digit = "" if samples.labels is None else f"_{samples.labels[index]}"
            image = io.BytesIO()
            Image.fromarray(pixels).save(image, format="PNG")
            archive.writestr(zipfile.ZipInfo(f"{index:04}{digit}.png"), image.getvalue())
    return buffer.getvalue()


def _encode_json(samples: Samples) -> bytes:
    return json.dumps(
        {
            "images": samples.pixels.tolist(),
            "labels": None if samples.labels is None else samples.labels.tolist(),
            "seed": samples.seed,
            "truncation": samples.truncation,
            "model_sha256": samples.model_sha256,
        },
        separators=(",", ":"),
    ).encode()


_ENCODERS: dict[str, Encoder] = {
    "image/png": encode_png,
    "application/zip": _encode_zip,
    "application/x-npy": encode_npy,
    "application/json": _encode_json,
}
MEDIA_TYPES = tuple(_ENCODERS)
