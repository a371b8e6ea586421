"""Model repositories for Triton."""

from pathlib import Path

import pytest
from google.protobuf import text_format

from dcgan.inference.generator import Generator
from dcgan.inference.triton import NAME, config_of, write_repository
from dcgan.system.errors import UsageError
from tiny_onnx import LATENT_DIM, build_model, write_model


@pytest.fixture
def generator(tmp_path: Path) -> Generator:
    return Generator.load(write_model(tmp_path / "generator.onnx"), providers="cpu")


def test_a_repository_has_a_configuration_and_the_models_bytes(tmp_path, generator):
    path = write_repository(tmp_path / "models", generator)
    assert path == tmp_path / "models" / NAME / "1" / "model.onnx"
    assert path.read_bytes() == generator.info.path.read_bytes()
    assert (path.parents[1] / "config.pbtxt").read_text() == config_of(generator.info.contract)


def test_another_generator_becomes_the_next_version_unless_its_inputs_are_others(tmp_path, generator):
    first, second = (write_repository(tmp_path / "models", generator) for _ in range(2))
    assert (first.parent.name, second.parent.name) == ("1", "2")
    other = Generator.load(write_model(tmp_path / "any.onnx", build_model(conditional=False)), providers="cpu")
    with pytest.raises(UsageError, match=r"config\.pbtxt"):
        write_repository(tmp_path / "models", other)
    assert not (tmp_path / "models" / NAME / "3").exists()


def test_the_configuration_is_protobuf_text_that_names_every_input_and_output_as_the_model_has_them(generator):
    config = config_of(generator.info.contract)
    assert f'name: "latents" data_type: TYPE_FP32 dims: [ {LATENT_DIM} ]' in config
    assert 'name: "labels" data_type: TYPE_INT64 dims: [ 1 ] reshape: { shape: [ ] }' in config
    assert 'name: "images" data_type: TYPE_FP32 dims: [ 1, 28, 28 ]' in config
    assert 'name: "pixels" data_type: TYPE_UINT8 dims: [ 28, 28 ]' in config
    assert "dynamic_batching {" in config
    # Without Triton's own schema, its text is read into a message of any fields.
    tokens = text_format.Tokenizer(config.splitlines())
    depth = 0
    while not tokens.AtEnd():
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(tokens.token, 0)
        assert depth >= 0
        tokens.NextToken()
    assert depth == 0
