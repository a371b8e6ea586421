"""Sampling from a generator.onnx that NumPy can compute itself."""

import ctypes
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from dcgan.inference import generator as generator_module
from dcgan.inference import session
from dcgan.inference.checksum import KEY
from dcgan.inference.generator import Generator
from dcgan.system.errors import UnavailableError, UsageError
from tiny_onnx import LATENT_DIM, METADATA, build_model, expected_pixels, write_model

NORMAL_OF_SEED_7 = [-0.5023735761642456, 0.5068453550338745, 2.019348621368408, 0.8514957427978516]
UNIFORM_OF_SEED_7 = [-0.46272289752960205, -0.062365055084228516, 0.947739839553833, -0.14770841598510742]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "generator.onnx")


@pytest.fixture(scope="module")
def generator(path: Path) -> Generator:
    return Generator.load(path, providers="cpu", threads=2)


@pytest.fixture(scope="module")
def unconditional(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    model = build_model(conditional=False, latent_distribution="uniform")
    return Generator.load(write_model(tmp_path_factory.mktemp("models") / "free.onnx", model), providers="cpu")


def test_samples_are_the_models_pixels_for_the_seeds_latents(generator: Generator) -> None:
    pixels = generator.sample(130, seed=3)
    assert pixels.shape == (130, 28, 28)
    assert pixels.dtype == np.uint8
    latents = np.random.Generator(np.random.Philox(3)).standard_normal((130, LATENT_DIM), dtype=np.float32)
    assert np.abs(pixels - expected_pixels(latents, np.arange(130) % 10)).max() < 0.51


def test_an_unconditional_model_draws_from_its_own_distribution(unconditional: Generator) -> None:
    latents = unconditional.latents_for(1000, seed=3)
    assert unconditional.labels_for(1000) is None
    assert -1 <= latents.min() < -0.99
    assert 0.99 < latents.max() <= 1
    assert np.abs(unconditional.sample(1000, seed=3) - expected_pixels(latents, None)).max() < 0.51


def test_the_latents_of_a_seed_never_change(generator: Generator, unconditional: Generator) -> None:
    normal, uniform = generator.latents_for(2, seed=7)[0], unconditional.latents_for(2, seed=7)[0]
    np.testing.assert_allclose(normal, NORMAL_OF_SEED_7, rtol=1e-6)
    np.testing.assert_allclose(uniform, UNIFORM_OF_SEED_7, rtol=1e-6)


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
@pytest.mark.parametrize("threads", [1, 4])
def test_batches_threads_and_later_digits_change_nothing(path: Path, monkeypatch, generator, chunk, threads) -> None:
    expected = generator.sample(130, seed=1)
    monkeypatch.setattr(generator_module, "CHUNK", chunk)
    other = Generator.load(path, providers="cpu", threads=threads)
    np.testing.assert_array_equal(other.sample(130, seed=1), expected)
    np.testing.assert_array_equal(other.sample(5, seed=1), expected[:5])


def test_one_generator_serves_several_threads(generator: Generator) -> None:
    alone = [generator.sample(100, seed=seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: generator.sample(100, seed=seed), range(8)))
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize(
    ("digits", "expected"),
    [
        (None, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]),
        (7, [7] * 12),
        ([3, 1, 4], [3, 1, 4] * 4),
        (range(9, -1, -1), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 9, 8]),
        (np.int64(2), [2] * 12),
        (np.array([5, 6]), [5, 6] * 6),
        (list(range(10)) * 2, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]),
    ],
)
def test_digits_are_taken_in_turn(generator: Generator, digits: object, expected: list[int]) -> None:
    assert generator.labels_for(12, digits=digits).tolist() == expected
    latents = generator.latents_for(12, seed=5)
    assert np.abs(generator.sample(12, digits=digits, seed=5) - expected_pixels(latents, expected)).max() < 0.51


def test_images_come_with_the_pixels_only_where_wanted(generator: Generator) -> None:
    order = generator.latents_for(5), generator.labels_for(5)
    both, pixels_alone = generator.draw_batch(*order), generator.draw_batch(*order, with_images=False)
    assert pixels_alone.images is None
    np.testing.assert_array_equal(both.pixels, pixels_alone.pixels)
    assert np.abs((both.images[:, 0] + 1) * 127.5 - both.pixels).max() <= 0.51


@pytest.mark.parametrize("spherical", [True, False])
def test_an_interpolation_keeps_its_ends_and_of_normal_latents_their_length(
    generator, unconditional, spherical
) -> None:
    drawing = generator if spherical else unconditional
    latents = drawing.interpolation_latents(1, 2, steps=5)
    ends = [drawing.latents_for(1, seed=seed)[0] for seed in (1, 2)]
    np.testing.assert_allclose(latents[[0, -1]], ends, atol=1e-6)
    ratio = latents[2] / ((ends[0] + ends[1]) / 2)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    assert ratio[0] > 1.1 if spherical else ratio[0] == pytest.approx(1)


def test_truncation_scales_the_latents(generator: Generator) -> None:
    whole = generator.latents_for(20, seed=4)
    np.testing.assert_array_equal(generator.latents_for(20, seed=4, truncation=0.25), whole / 4)
    pixels = generator.sample(20, truncation=0.25, seed=4)
    assert np.abs(pixels - expected_pixels(whole / 4, np.arange(20) % 10)).max() < 0.51


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"digits": 10}, "digit: 10"),
        ({"digits": -1}, "digit: -1"),
        ({"digits": [3, 12]}, "digit: 12"),
        ({"digits": []}, "digits: an empty list"),
        ({"seed": -1}, "seed: -1"),
        ({"seed": 2**63}, "seed: 9223372036854775808"),
        ({"truncation": 0}, "truncation: 0"),
        ({"truncation": 1.01}, r"truncation: 1\.01"),
        ({"truncation": float("nan")}, "truncation: nan"),
    ],
)
def test_arguments_out_of_range_are_refused(generator: Generator, arguments: dict, named: str) -> None:
    with pytest.raises(UsageError, match=f"{named} is out of range; expected "):
        generator.sample(**{"count": 3} | arguments)


@pytest.mark.parametrize("count", [0, 100_001])
def test_latents_and_labels_are_bounded_by_themselves(generator: Generator, count: int) -> None:
    for draw in (generator.latents_for, generator.labels_for):
        with pytest.raises(UsageError, match=f"count: {count} is out of range; expected "):
            draw(count)


def test_the_model_tells_what_it_is(path: Path, generator: Generator) -> None:
    info = generator.info
    assert (info.path, info.num_bytes) == (path, path.stat().st_size)
    assert info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (info.providers, info.device) == (("CPUExecutionProvider",), "CPU")
    assert info.metadata == METADATA | {KEY: info.metadata[KEY]}
    assert (info.contract.latent_dim, info.contract.num_classes, info.contract.conditional) == (LATENT_DIM, 10, True)


@pytest.mark.parametrize("arguments", [{"threads": 0}, {"providers": "tpu"}])
def test_loading_refuses_wrong_arguments(path: Path, arguments: dict) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(arguments))}: "):
        Generator.load(path, **arguments)


def test_cuda_that_is_not_obtained_is_told(path: Path, monkeypatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: print("some library is missing"))
    with pytest.warns(RuntimeWarning, match="CUDA was asked for") as told:
        generator = Generator.load(path, providers="cuda")
    assert told[0].filename == __file__
    assert generator.info.providers == ("CPUExecutionProvider",)
    with pytest.raises(UnavailableError, match="CUDA was asked for"):
        Generator.load(path, providers="cuda", strict=True)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("initialised", "devices", "expected"), [(0, 1, True), (0, 0, False), (100, 1, False), (None, 1, False)]
)
def test_auto_takes_cuda_only_where_a_device_answers(monkeypatch, initialised, devices, expected: bool) -> None:
    def count_devices(count: object) -> int:
        count._obj.value = devices
        return 0

    def load_driver(name: str) -> SimpleNamespace:
        if initialised is None:
            raise OSError(name)
        return SimpleNamespace(cuInit=lambda flags: initialised, cuDeviceGetCount=count_devices)

    monkeypatch.setattr(ctypes, "CDLL", load_driver)
    runtime = SimpleNamespace(get_available_providers=lambda: [session.CUDA, session.CPU])
    assert session._has_cuda(runtime) is expected
    assert session._has_cuda(SimpleNamespace(get_available_providers=lambda: [session.CPU])) is False
