"""`dcgan export-int8` writes a faster copy that draws nearly the same digits and says what it is."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from dcgan.config.schema import ModelConfig
from dcgan.export.onnx_export import export_generator
from dcgan.gan.networks import build_generator
from dcgan.inference.generator import Generator
from running_service import Running
from tiny_onnx import FOREIGN, METADATA, build_model, write_model

ORIGIN = {key: METADATA[key] for key in ("dataset", "dataset_sha256", "params_sha256", "generator_sha256")}


def write_generator(path: Path, config: ModelConfig) -> Path:
    torch.manual_seed(0)
    path.write_bytes(export_generator(build_generator(config).eval(), config, opset=20, origin=ORIGIN))
    return path


@pytest.fixture
def original(tmp_path: Path, model_config: ModelConfig) -> Path:
    return write_generator(tmp_path / "generator.onnx", model_config)


@pytest.fixture
def quantized(tmp_path: Path, original: Path, dcgan: Any) -> Path:
    path = tmp_path / "int8.onnx"
    ended = dcgan("export-int8", path, "--model", original)
    assert (ended.exit_code, ended.err) == (0, ""), ended.err
    assert "of its pixels differ" in ended.out
    assert ended.out.endswith(f"`dcgan evaluate --model {path}` measures its quality\n")
    assert ended.out.count("\n") == 1
    return path


def test_it_draws_nearly_the_same_digits(original: Path, quantized: Path) -> None:
    before, after = (
        Generator.load(each, providers="cpu").sample(500, seed=9).astype(int) for each in (original, quantized)
    )
    difference = np.abs(after - before)
    assert difference.max() > 0
    assert difference.mean() < 1, "of 255"
    kinds = [each.op_type for each in onnx.load(quantized).graph.node]
    assert kinds.count("QuantizeLinear") > 1
    assert "QLinearConv" not in kinds, "an operator that other runtimes than ONNX Runtime do not fuse"


def test_it_says_what_it_is_and_where_it_comes_from(
    original: Path, quantized: Path, dcgan: Any, tmp_path: Path
) -> None:
    before, after = (Generator.load(each, providers="cpu").info for each in (original, quantized))
    assert (before.arithmetic, after.arithmetic) == ("float32", "int8")
    changed = {"content_sha256", "arithmetic"}
    assert {key: value for key, value in after.metadata.items() if key not in changed} == {
        key: value for key, value in before.metadata.items() if key not in changed
    }
    assert after.has_checksum
    assert "arithmetic           int8\n" in dcgan("info", "--model", quantized).out
    with Running(tmp_path, quantized) as service:
        parameters = json.loads(service.ask("/v2/models/generator/config", None, accept="*/*"))["parameters"]
    assert parameters["arithmetic"] == {"string_value": "int8"}
    assert parameters["generator_sha256"] == {"string_value": "f" * 64}


def test_equal_files_give_equal_bytes(original: Path, quantized: Path, dcgan: Any, tmp_path: Path) -> None:
    dcgan("export-int8", tmp_path / "again.onnx", "--model", original)
    assert (tmp_path / "again.onnx").read_bytes() == quantized.read_bytes()


def test_a_quantized_model_is_not_quantized_again(quantized: Path, dcgan: Any, tmp_path: Path) -> None:
    ended = dcgan("export-int8", tmp_path / "twice.onnx", "--model", quantized)
    assert (ended.exit_code, ended.err.count("\n")) == (64, 1)
    assert "in int8 already; give the file that it was made from" in ended.err
    assert not (tmp_path / "twice.onnx").exists()


def test_a_model_without_convolutions_is_refused(model_config: ModelConfig, dcgan: Any, tmp_path: Path) -> None:
    path = write_generator(tmp_path / "mlp.onnx", dataclasses.replace(model_config, architecture="mlp"))
    ended = dcgan("export-int8", tmp_path / "int8.onnx", "--model", path)
    assert (ended.exit_code, ended.err.count("\n")) == (64, 1)
    assert "no convolution to quantise" in ended.err
    assert not (tmp_path / "int8.onnx").exists()


def test_a_model_from_elsewhere_is_refused(dcgan: Any, tmp_path: Path) -> None:
    path = write_model(tmp_path / "foreign.onnx", build_model(**FOREIGN))
    ended = dcgan("export-int8", tmp_path / "int8.onnx", "--model", path)
    assert (ended.exit_code, ended.err.count("\n")) == (65, 1)
    assert "not from the stage export" in ended.err


def test_a_folder_that_cannot_be_written_is_told_first(original: Path, dcgan: Any) -> None:
    ended = dcgan("export-int8", original / "int8.onnx", "--model", original)
    assert (ended.exit_code, ended.err.count("\n")) == (73, 1)
