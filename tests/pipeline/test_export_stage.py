"""The stage `export`, without MLflow."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch

from dcgan.checkpoints.weights import save_weights
from dcgan.config.params_file import load_params, params_sha256
from dcgan.config.workspace import DATASET, EXPORT, GENERATOR, ONNX_GENERATOR, PARAMS
from dcgan.gan.networks import build_generator
from dcgan.system.errors import BadDataError
from dcgan.system.files import sha256_of
from tiny_workspace import ROOT, new_workspace, write_params


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The stage, in a workspace of weights that nobody trained or evaluated."""
    monkeypatch.setattr("dcgan.tracking.sync.bring_up_to_date", lambda *_, **__: None, raising=False)
    monkeypatch.chdir(new_workspace(tmp_path))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        save_weights(Path("models"), generator=build_generator(load_params(PARAMS).model))
    return runpy.run_path(str(ROOT / "pipeline/export.py"))["main"]


def test_the_files_depend_on_weights_and_contract_alone(export: Callable[[], None]) -> None:
    """Neither on time nor on an evaluation, which was not run here, nor on the parameters of other stages."""
    written = []
    for evaluate in ({}, {"num_seeds": 3}):
        write_params(Path(), evaluate=evaluate)
        export()
        written.append([path.read_bytes() for path in (ONNX_GENERATOR, EXPORT)])
    assert written[0] == written[1]

    said = {each.key: each.value for each in onnx.load(ONNX_GENERATOR).metadata_props}
    assert said["generator_sha256"] == sha256_of(GENERATOR)
    assert said["dataset_sha256"] == sha256_of(DATASET)
    assert said["params_sha256"] == params_sha256(load_params(PARAMS))
    report = json.loads(EXPORT.read_text())
    assert report.keys() == {"opset", "generator_sha256", "onnx_sha256", "bytes", "parity"}
    assert report["onnx_sha256"] == sha256_of(ONNX_GENERATOR)


def test_without_the_data_set_nothing_is_exported(export: Callable[[], None]) -> None:
    DATASET.unlink()
    with pytest.raises(BadDataError, match=f"^{DATASET}: missing"):
        export()
    assert not ONNX_GENERATOR.exists()
