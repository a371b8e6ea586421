"""`export.opset`: the file is one that runtimes of that opset's time can read."""

from typing import get_args

import onnx
import pytest
import torch

from dcgan.config.schema import ExportConfig
from dcgan.export.onnx_export import export_generator, prove_parity
from dcgan.gan.networks import build_generator
from small_gan import CONFIG
from tiny_onnx import METADATA

IR_VERSIONS = {18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11}
"""The table "released versions" of ONNX's own documentation."""


slow = pytest.mark.slow
CASES = [pytest.param(*case, marks=() if case[0] in (18, 23) else slow) for case in IR_VERSIONS.items()]


@pytest.mark.parametrize(("opset", "ir_version"), CASES)
def test_the_file_has_the_lowest_ir_version_that_its_opset_needs_and_draws_the_same(opset, ir_version):
    with torch.random.fork_rng():
        generator = build_generator(CONFIG.model)
    content = export_generator(generator, CONFIG.model, opset=opset, origin=METADATA)
    model = onnx.load_from_string(content)
    assert (model.opset_import[0].version, model.ir_version) == (opset, ir_version)
    prove_parity(content, generator, CONFIG.model)


def test_every_opset_that_may_be_chosen_is_tried():
    (field,) = [field for field in ExportConfig.__dataclass_fields__.values() if field.name == "opset"]
    (bound,) = get_args(field.type)[1:]
    assert [opset for opset in range(100) if bound.holds(opset)] == list(IR_VERSIONS)
