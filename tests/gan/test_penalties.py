import pytest
import torch
from torch.distributions import Normal, kl_divergence

from dcgan.gan.penalties import clip_weights, gradient_penalty, interpolate, moment_kl, zero_centred_penalty


def test_the_penalty_of_a_linear_discriminator_is_half_its_squared_slope():
    slope = torch.randn(28 * 28, generator=torch.Generator().manual_seed(0))
    images = torch.rand(5, 1, 28, 28, requires_grad=True)
    logits = images.flatten(1) @ slope
    assert zero_centred_penalty(logits, images).item() == pytest.approx(0.5 * slope.square().sum().item(), rel=1e-5)


def test_the_penalty_of_a_quadratic_discriminator_is_the_mean_over_images():
    images = torch.rand(5, 1, 28, 28, requires_grad=True)
    logits = 0.5 * images.square().sum(dim=(1, 2, 3))  # whose gradient is the image itself
    expected = 0.5 * images.square().sum(dim=(1, 2, 3)).mean().item()
    assert zero_centred_penalty(logits, images).item() == pytest.approx(expected, rel=1e-5)


def test_the_penalty_reaches_the_discriminators_weights():
    weight = torch.tensor(3.0, requires_grad=True)
    images = torch.ones(2, 1, 28, 28, requires_grad=True)
    zero_centred_penalty((weight * images).sum(dim=(1, 2, 3)), images).backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(28 * 28 * 3.0)  # d/dw of ½·784·w²


@pytest.mark.parametrize("length", [0.5, 1.0, 3.0])
def test_the_gradient_penalty_of_a_linear_discriminator_is_its_slopes_distance_from_1_squared(length):
    slope = torch.randn(28 * 28, generator=torch.Generator().manual_seed(0))
    slope *= length / slope.norm()
    images = torch.rand(6, 1, 28, 28, requires_grad=True)
    assert gradient_penalty(images.flatten(1) @ slope, images).item() == pytest.approx((length - 1) ** 2, abs=1e-5)


def test_interpolated_images_lie_between_real_and_fake_each_as_a_whole():
    real, fake, places = torch.ones(50, 1, 28, 28), torch.zeros(50, 1, 28, 28), torch.rand(50, 1, 1, 1)
    between = interpolate(real, fake, places)
    assert between.requires_grad
    torch.testing.assert_close(between.detach(), (1 - places).expand_as(real))


def test_the_gradient_penalty_sends_nothing_to_the_fakes_and_something_to_the_weights():
    weight, fake = torch.tensor(3.0, requires_grad=True), torch.rand(2, 1, 28, 28, requires_grad=True)
    between = interpolate(torch.rand(2, 1, 28, 28), fake, torch.rand(2, 1, 1, 1))
    gradient_penalty((weight * between).sum(dim=(1, 2, 3)), between).backward()
    assert fake.grad is None
    assert weight.grad.item() == pytest.approx(2 * (28 * 3 - 1) * 28)  # d/dw of (28·w - 1)²


def test_moment_kl_is_the_divergence_of_two_fitted_normal_distributions():
    rng = torch.Generator().manual_seed(0)
    fake, real = torch.randn(4, 1, 28, 28, generator=rng) * 0.5 + 0.2, torch.rand(7, 1, 28, 28, generator=rng)
    fitted = [Normal(images.mean(), images.std(correction=0)) for images in (fake, real)]
    assert moment_kl(fake, real).item() == pytest.approx(kl_divergence(*fitted).item(), rel=1e-4)
    assert moment_kl(real, real).item() == pytest.approx(0, abs=1e-6)
    assert moment_kl(fake, real).item() != pytest.approx(moment_kl(real, fake).item(), rel=0.1)


def test_moment_kl_pulls_the_fakes_and_not_the_data():
    fake, real = torch.zeros(2, 1, 28, 28), torch.rand(2, 1, 28, 28)
    fake = (fake + torch.rand(2, 1, 28, 28) - 0.9).requires_grad_()
    real.requires_grad_()
    moment_kl(fake, real).backward()
    assert real.grad is None
    assert fake.grad.mean() < 0  # darker than the data: brighter is better


def test_clipping_cuts_weights_at_the_limit_and_leaves_the_others():
    layer = torch.nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[5.0, 0.01], [-5.0, -0.02]]))
    clip_weights(layer, 0.1)
    torch.testing.assert_close(layer.weight.data, torch.tensor([[0.1, 0.01], [-0.1, -0.02]]))
    assert layer.weight.requires_grad
