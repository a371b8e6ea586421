"""Model repositories for Triton."""

from pathlib import Path

import pytest
from google.protobuf import text_format

from dcgan.inference.generator import Generator
from dcgan.inference.triton import NAME, config_of, write_repository
from dcgan.system.errors import UsageError
from tiny_onnx import LATENT_DIM, build_model, write_model


@pytest.fixture
def generator(model: Path) -> Generator:
    return Generator.load(model, providers="cpu")


def test_each_generator_is_the_next_version_unless_the_configuration_tells_other_inputs(tmp_path, generator):
    folder = tmp_path / "models" / NAME
    for version in ("1", "2"):
        path = write_repository(tmp_path / "models", generator)
        assert path == folder / version / "model.onnx"
        assert path.read_bytes() == generator.info.path.read_bytes()
        assert (folder / "config.pbtxt").read_text() == config_of(generator.info.contract)
    other = Generator.load(write_model(tmp_path / "any.onnx", build_model(conditional=False)), providers="cpu")
    with pytest.raises(UsageError, match=r"config\.pbtxt"):
        write_repository(tmp_path / "models", other)
    assert not (folder / "3").exists()


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
