import pytest
import torch

from dcgan.core.penalties import r1_penalty


def test_r1_of_a_linear_discriminator_is_half_its_squared_slope():
    slope = torch.randn(28 * 28, generator=torch.Generator().manual_seed(0))
    real = torch.rand(5, 1, 28, 28, requires_grad=True)
    logits = real.flatten(1) @ slope
    assert r1_penalty(logits, real).item() == pytest.approx(0.5 * slope.square().sum().item(), rel=1e-5)


def test_r1_of_a_quadratic_discriminator_is_the_mean_over_images():
    real = torch.rand(5, 1, 28, 28, requires_grad=True)
    logits = 0.5 * real.square().sum(dim=(1, 2, 3))  # whose gradient is the image itself
    expected = 0.5 * real.square().sum(dim=(1, 2, 3)).mean().item()
    assert r1_penalty(logits, real).item() == pytest.approx(expected, rel=1e-5)


def test_r1_reaches_the_discriminators_weights():
    weight = torch.tensor(3.0, requires_grad=True)
    real = torch.ones(2, 1, 28, 28, requires_grad=True)
    r1_penalty((weight * real).sum(dim=(1, 2, 3)), real).backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(28 * 28 * 3.0)  # d/dw of ½·784·w²
