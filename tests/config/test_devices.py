"""The arithmetic that `auto` picks on CPUs that were measured."""

import pytest
import torch

from dcgan.config.devices import resolve_precision
from support import CPU


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ({"cpu_name": "Intel(R) Xeon(R)", "avx512_bf16": True, "amx_bf16": True}, "bf16"),
        ({"cpu_name": "Intel(R) Xeon(R)", "avx512_bf16": True, "amx_bf16": False}, "fp32"),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}, "bf16"),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": False, "amx_bf16": False}, "fp32"),
        ({"architecture": "aarch64"}, "fp32"),
    ],
)
def test_auto_is_bf16_where_it_was_measured_to_be_faster(monkeypatch, capabilities, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert resolve_precision("auto", CPU) == precision


def test_auto_is_fp32_where_pytorch_does_not_tell(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve_precision("auto", CPU) == "fp32"


@pytest.mark.parametrize("wanted", ["fp32", "bf16"])
def test_what_is_asked_for_is_taken(wanted):
    assert resolve_precision(wanted, CPU) == wanted
