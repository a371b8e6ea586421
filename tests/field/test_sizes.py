"""Typing errors in sizes, and memory that runs out: one line that names what to lower."""

import subprocess
import sys
from itertools import product

import pytest
import torch

from dcgan.config.params_file import changed, load_params
from dcgan.config.rules import BYTES_PER_WEIGHT, num_generator_weights
from dcgan.config.schema import MAX_MODEL_BYTES, ModelConfig, Params
from dcgan.gan.networks import ARCHITECTURES, build_generator
from dcgan.system.errors import UsageError
from dcgan.system.memory import describe_out_of_memory, is_out_of_memory
from tiny_workspace import new_workspace

TYPING_ERRORS = {
    "model.latent_dim": 100_000_000_000,
    "model.generator_channels": 640_000,
    "model.discriminator_channels": 480_000,
    "model.generator_refinements": 1000,
    "train.epochs": 10**9,
    "train.batch_size": 64_000_000,
    "train.max_steps": 10**18,
    "train.discriminator_steps": 1000,
    "train.generator_learning_rate": 4e33,
    "train.threads": 10**6,
    "train.max_rollbacks": 10**6,
    "classifier.batch_size": 10**9,
    "penalties.r1": 10**40,
    "evaluate.num_samples": 10**10,
    "evaluate.num_seeds": 10**6,
    "evaluate.num_train_on_fake": 30_000_000,
    "evaluate.num_two_sample": 30_000_000,
    "evaluate.num_neighbour_queries": 5_000_000_000,
    "gates.label_accuracy": 98,
}


@pytest.mark.parametrize(("path", "value"), TYPING_ERRORS.items(), ids=TYPING_ERRORS)
def test_a_number_that_is_far_too_large_is_refused_with_its_bounds(path, value):
    with pytest.raises(UsageError, match=rf"{path}: .* is out of range; expected .*\d") as caught:
        changed(Params(), {path: value})
    assert caught.value.exit_code == 64


@pytest.mark.parametrize(
    "written",
    ["1" + "0" * 400, "1" + "0" * 5000, "-1" + "0" * 400, ".inf", "1e400", "2026-99-99"],
    ids=["400 digits", "5000 digits", "negative", "infinite", "too large for a float", "no day"],
)
@pytest.mark.parametrize("path", ["penalties: {r1", "train: {epochs"])
def test_what_no_number_can_hold_is_refused_in_one_line(tmp_path, path, written):
    (tmp_path / "params.yaml").write_text(f"{path}: {written}}}")
    with pytest.raises(UsageError, match=r"params\.yaml: "):
        load_params(tmp_path / "params.yaml")


SHAPES = [
    {"generator_channels": channels, "latent_dim": latents, "generator_refinements": refinements}
    for channels, latents, refinements in product((64, 256), (100, 5000), (0, 3))
]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_size_of_a_generator_is_known_before_it_is_built(architecture):
    for conditional, shape in product((True, False), SHAPES):
        config = ModelConfig(architecture=architecture, conditional=conditional, **shape)
        with torch.device("meta"):
            weights = sum(weight.numel() for weight in build_generator(config).state_dict().values())
        assert num_generator_weights(config) == pytest.approx(weights, rel=0.03)


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - {"mlp"}))  # whose largest is small
def test_a_generator_that_production_would_not_load_is_refused_at_once(architecture):
    conditional = architecture not in {"infogan", "began"}
    changes = {"model.architecture": architecture, "model.conditional": conditional}
    if architecture == "began":
        changes["loss.name"] = "boundary_equilibrium"
    fitting = changed(Params(), changes | {"model.generator_channels": 256})
    assert BYTES_PER_WEIGHT * num_generator_weights(fitting.model) < MAX_MODEL_BYTES
    with pytest.raises(UsageError, match=r"model\.generator_channels: the generator would have [\d,]+ MB of weights"):
        changed(Params(), changes | {"model.generator_channels": 1024, "model.latent_dim": 65_536})


# Memory that runs out


def errors_of_this_machine() -> dict[str, Exception]:
    """What PyTorch and NumPy raise for more memory than any machine has."""
    attempts = {
        "torch": "torch.empty(2**50)",
        "torch, more than can be counted": "torch.empty(2**62, 2**62)",
        "numpy": "numpy.zeros(2**50)",
        "python": "bytearray(2**60)",
    }
    import numpy

    found = {}
    for name, attempt in attempts.items():
        try:
            eval(attempt, {"torch": torch, "numpy": numpy})
        except Exception as error:
            found[name] = error
    assert found.keys() == attempts.keys()
    return found


OUT_OF_MEMORY = errors_of_this_machine() | {
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has 3 GiB free."),
    "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "operating system": OSError(12, "Cannot allocate memory"),
}


@pytest.mark.parametrize("name", OUT_OF_MEMORY)
def test_a_lack_of_memory_is_known_and_told_with_what_to_lower(name):
    error = OUT_OF_MEMORY[name]
    assert is_out_of_memory(error)
    told = describe_out_of_memory(error, sizes=("train.batch_size", "model.latent_dim"))
    device = "GPU memory" if name.startswith("cu") else "memory"
    assert told.startswith(f"not enough {device}")
    assert told.endswith("; lower train.batch_size or model.latent_dim")


def test_the_amount_that_was_asked_for_is_told():
    assert "(4,194,304.0 GiB were asked for at once)" in describe_out_of_memory(OUT_OF_MEMORY["torch"], sizes=())
    assert "(20.00 GiB were asked for at once)" in describe_out_of_memory(OUT_OF_MEMORY["cuda"], sizes=())


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("out of memory"), OSError(5, "I/O")])
def test_other_errors_are_none_of_memory(error):
    assert not is_out_of_memory(error)


EXHAUST = """
import torch
from dcgan.gan import graph

def step(*_args, **_kwargs):
    {attempt}

graph.gan_step = step
"""


@pytest.mark.parametrize(
    ("attempt", "told"),
    [
        (
            "torch.empty(2**50)",
            "error: not enough memory (4,194,304.0 GiB were asked for at once); lower train.batch_size or ",
        ),
        ('raise torch.OutOfMemoryError("CUDA out of memory")', "error: not enough GPU memory; lower "),
    ],
)
def test_a_training_whose_memory_runs_out_ends_in_one_line(stages, tmp_path, attempt, told):
    done = stages.run("train", new_workspace(tmp_path), planted=EXHAUST.format(attempt=attempt))
    assert done.returncode == 64
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith(told)
    assert "Traceback" not in done.stderr


def test_a_command_within_a_limit_of_memory_ends_in_one_line(tmp_path):
    """As `ulimit -v` and batch systems set it; the pipeline's stages meet it in the same place."""
    script = "import resource, sys; from dcgan.system.exit import run_stage\n"
    script += "def main():\n    resource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28)); bytearray(2**29)\n"
    script += "run_stage(main, sizes=('evaluate.num_samples',))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (64, "error: not enough memory; lower evaluate.num_samples\n")
