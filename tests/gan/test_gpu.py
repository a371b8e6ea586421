"""Training on a CUDA device: `make gpu-check`, two minutes. On a bare node, where the project is not installed, run
`PYTHONPATH=src:tests python -m pytest --noconftest --rootdir=. -c /dev/null tests/gan/test_gpu.py`.
"""

import time
from unittest.mock import Mock

import pytest
import torch

from dcgan.checkpoints.folder import CheckpointFolder
from dcgan.config.devices import prepare_device, resolve
from dcgan.config.schema import GanConfig
from dcgan.gan import graph
from dcgan.gan.recovery import train_with_rollbacks
from dcgan.gan.state import build_state
from dcgan.gan.step import due_at
from dcgan.system.errors import UsageError
from small_gan import (
    CONFIG,
    CPU,
    END,
    ZOO,
    RecordingTracker,
    batches_of,
    bytes_of,
    changed,
    differences,
    run,
    striped_images,
    take_steps,
    variant,
)

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
GPU = torch.device("cuda")
VARIANTS = {
    "fp32": {},
    "bf16": {"train.precision": "bf16"},
    "dropout": {"train.precision": "bf16", "model.discriminator_dropout": 0.3},
    "r2": {"train.precision": "bf16", "penalties.r2": 0.05, "loss.name": "relativistic"},
    "gradient_penalty": {
        "train.precision": "bf16", "penalties.gradient_penalty": 10.0, "model.discriminator_normalization": "layer",
    },
    "spectral_norm": {
        "train.precision": "bf16", "penalties.spectral_norm": True, "model.discriminator_normalization": "none",
    },
    "began": {
        "train.precision": "bf16", "model.architecture": "began", "model.conditional": False,
        "loss.name": "boundary_equilibrium", "penalties.r1": 0.0,
    },
    "acgan": {"train.precision": "bf16", "model.architecture": "acgan"},
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def repeatable():
    prepare_device(CONFIG.train)


@pytest.fixture(scope="module")
def data():
    return striped_images()


@pytest.fixture(params=VARIANTS)
def config(request):
    return changed(CONFIG, VARIANTS[request.param])


def test_networks_start_as_on_the_cpu(config):
    on_gpu, on_cpu = (build_state(config, device=device) for device in (GPU, CPU))
    assert bytes_of(on_gpu.generator) == bytes_of(on_cpu.generator)
    assert bytes_of(on_gpu.discriminator) == bytes_of(on_cpu.discriminator)


def test_an_eager_step_moves_both_players_and_stays_on_the_device(config, data):
    state = build_state(config, device=GPU)
    before = [bytes_of(network) for network in (state.generator, state.discriminator, state.generator_ema)]
    measured = take_steps(state, config, data, 2)
    after = [bytes_of(network) for network in (state.generator, state.discriminator, state.generator_ema)]
    assert all(was != now for was, now in zip(before, after, strict=True))
    assert {value.device.type for value in measured.values()} == {GPU.type}
    assert all(torch.isfinite(value) for value in measured.values())


def test_a_resumed_run_ends_in_the_same_bytes(config, data, tmp_path):
    straight = run(config, data, device=GPU)
    folder = CheckpointFolder(tmp_path, {"stage": "train"})
    run(config, data, device=GPU, stop_at=5, on_checkpoint=folder.save)
    restored = folder.restore(build_state(config, device=GPU))
    assert restored.step == 5
    torch.rand(11, device=GPU)
    assert differences(straight, run(config, data, state=restored, device=GPU)) == []


def graphed(config):
    """The same, 64 steps by graphs."""
    return changed(config, {"train.cuda_graph": "on", "train.epochs": 100, "train.max_steps": 64})


def ordinary(config):
    return changed(graphed(config), {"train.cuda_graph": "off"})


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ZOO["variants"])
def test_every_variant_of_the_zoo_is_the_same_by_graphs_or_says_why_not(data, name, precision):
    config = changed(variant(name, steps=64), {"train.precision": precision})
    if config.model.discriminator_dropout:
        with pytest.raises(UsageError, match="dropout"):
            resolve(graphed(config), GPU)
        return
    tracker = RecordingTracker()
    found = run(graphed(config), data, device=GPU, tracker=tracker)
    assert tracker.timings[64]["train/graph_replays"] == 64 - graph.WARM_UP * len(
        {due_at(step, config) for step in range(64)}
    )
    assert differences(found, run(ordinary(config), data, device=GPU)) == []


def test_a_resumed_run_records_its_graphs_anew_and_ends_in_the_same_bytes(data, tmp_path):
    config, folder = (
        graphed(changed(CONFIG, {"train.precision": "bf16"})),
        CheckpointFolder(tmp_path, {"stage": "train"}),
    )
    run(config, data, device=GPU, stop_at=29, on_checkpoint=folder.save)
    restored = folder.restore(build_state(config, device=GPU))
    assert restored.step == 29
    resumed = run(config, data, state=restored, device=GPU)
    assert differences(resumed, run(ordinary(config), data, device=GPU)) == []


def test_a_rollback_records_its_graphs_anew(data, tmp_path):
    ends = []
    for each in (graphed(CONFIG), ordinary(CONFIG)):
        config = changed(each, {"train.evaluate_every": 10})
        figures = iter([3.0, 2.0, 1.0, float("nan"), *[1.0] * 9])
        folder = CheckpointFolder(tmp_path / each.train.cuda_graph, {"stage": "train"})
        end = train_with_rollbacks(
            build_state(config, device=GPU), batches_of(config, data, device=GPU), config, checkpoints=folder,
            tracker=RecordingTracker(), evaluate=lambda _, figures=figures: {"train/quick_fcd": next(figures)},
        )  # fmt: skip
        assert (end.step, end.rollbacks) == (64, 1)
        ends.append(end)
    assert differences(*ends) == []


@pytest.mark.parametrize("error", [RuntimeError("operation not permitted"), torch.OutOfMemoryError("out of memory")])
def test_where_no_graph_can_be_recorded_training_goes_on_after_one_warning(data, monkeypatch, error):
    monkeypatch.setattr(graph, "_Graph", Mock(side_effect=error))
    tracker = RecordingTracker()
    found = run(graphed(CONFIG), data, device=GPU, tracker=tracker)
    assert str(error) in tracker.events["cuda-graph"]
    assert tracker.timings[64]["train/graph_replays"] == 0
    assert differences(found, run(ordinary(CONFIG), data, device=GPU)) == []


def test_r1_under_autocast_is_nearly_that_in_float32(data):
    found = {}
    for precision in ("fp32", "bf16"):
        config = changed(CONFIG, {"train.precision": precision})
        found[precision] = take_steps(build_state(config, device=GPU), config, data)["discriminator/r1"]
    assert found["bf16"].dtype == torch.float32
    assert found["bf16"] != found["fp32"]
    assert found["bf16"].item() == pytest.approx(found["fp32"].item(), rel=0.1)


def test_the_default_configuration_trains(data):
    """In the arithmetic that `auto` stands for; `run` raises if anything is not finite."""
    config, tracker = resolve(changed(GanConfig(), {"train.epochs": 50}), GPU), RecordingTracker()
    assert config.train.precision in {"bf16", "fp32"}
    assert run(config, data, device=GPU, tracker=tracker).step == 50
    assert tracker.samples[50].std() > 0


def test_images_per_second_counts_what_the_device_still_has_to_do(data, monkeypatch):
    """Each step queues more work than it takes to launch it."""
    matrix, genuine = torch.rand(2048, 2048, device=GPU), graph.gan_step

    def burst() -> None:
        for _ in range(100):
            torch.mm(matrix, matrix)

    def timed_burst() -> float:
        torch.cuda.synchronize()
        started = time.perf_counter()
        burst()
        torch.cuda.synchronize()
        return time.perf_counter() - started

    def slow_step(*args, **kwargs):
        burst()
        return genuine(*args, **kwargs)

    monkeypatch.setattr(graph, "gan_step", slow_step)
    tracker = RecordingTracker()
    seconds = min(timed_burst() for _ in range(5))
    config = changed(CONFIG, {"train.report_every": 4, "train.sample_every": 3})
    run(config, data, device=GPU, tracker=tracker)
    assert list(tracker.timings) == [4, 8, END]
    for row in tracker.timings.values():
        assert CONFIG.train.batch_size / row["train/images_per_second"] > 0.9 * seconds
