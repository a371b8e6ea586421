import math

import pytest
import torch
from torch import nn

from dcgan.config.schema import ModelConfig
from dcgan.gan.networks import ARCHITECTURES, build_discriminator, build_generator
from dcgan.gan.networks.auxiliary import CODES, LABELS
from small_gan import CONFIG, changed


def model(**changes: object) -> ModelConfig:
    return changed(CONFIG.model, changes)


def layers_of(network: nn.Module, kind: type[nn.Module]) -> list[tuple[int, int]]:
    """Inputs and outputs of every layer of a kind, in order."""
    names = ("in_features", "out_features") if kind is nn.Linear else ("in_channels", "out_channels")
    return [tuple(getattr(each, name) for name in names) for each in network.modules() if isinstance(each, kind)]


@pytest.mark.parametrize("batch_size", [1, 2, 7])
@pytest.mark.parametrize("conditional", [True, False])
def test_generator_draws_images_in_range_and_discriminator_gives_one_float32_logit_each(conditional, batch_size):
    config, labels = model(conditional=conditional), torch.arange(batch_size) if conditional else None
    images = build_generator(config).eval()(10 * torch.randn(batch_size, config.latent_dim), labels)
    assert images.shape == (batch_size, 1, 28, 28)
    assert images.abs().max() <= 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = build_discriminator(config).eval()(images, labels).logits
    assert logits.shape == (batch_size,)
    assert logits.dtype == torch.float32


def test_labels_change_what_is_drawn_and_how_it_is_judged():
    generator, discriminator = build_generator(model()).eval(), build_discriminator(model()).eval()
    latents, digits = torch.randn(1, 16).expand(10, -1), torch.arange(10)
    assert len(generator(latents, digits).flatten(1).unique(dim=0)) == 10
    assert len(discriminator(torch.zeros(10, 1, 28, 28), digits).logits.unique()) == 10


def test_projection_adds_the_features_agreement_with_the_label():
    discriminator = build_discriminator(model()).eval()
    images, labels = torch.randn(4, 1, 28, 28), torch.tensor([0, 3, 3, 9])
    features = discriminator.maps(images).flatten(1)
    agreement = torch.stack([f @ discriminator.projection.weight[d] for f, d in zip(features, labels, strict=True)])
    expected = discriminator.head(features).squeeze(1) + agreement / features.shape[1] ** 0.5
    torch.testing.assert_close(discriminator(images, labels).logits, expected)


def test_the_default_generator_has_the_stated_size():
    weights = sum(weight.numel() for weight in build_generator(ModelConfig()).parameters())
    linear, first, refinement, last = 110 * 6272, 128 * 64 * 16, 64 * 64 * 9, 64 * 16 + 1
    assert weights == linear + first + refinement + last + 2 * (128 + 64 + 64)  # and what the normalisations learn


def test_the_all_convolutional_pair_has_neither_fully_connected_layers_nor_pooling():
    config = model(architecture="dcgan_all_conv")
    for network in (build_generator(config), build_discriminator(config)):
        kinds = {type(module) for module in network.modules()}
        assert not kinds & {nn.Linear, nn.MaxPool2d, nn.AvgPool2d}
        assert kinds & {nn.Conv2d, nn.ConvTranspose2d}


def test_the_max_pooling_pair_has_the_layers_of_the_plan():
    config = ModelConfig(
        architecture="dcgan_maxpool", conditional=False, generator_refinements=0, discriminator_channels=32
    )
    generator, discriminator = build_generator(config), build_discriminator(config)
    assert layers_of(generator, nn.Linear) == [(100, 1024), (1024, 6272)]
    assert layers_of(generator, nn.ConvTranspose2d) == [(128, 64), (64, 1)]
    assert layers_of(discriminator, nn.Conv2d) == [(1, 32), (32, 64)]
    assert {each.kernel_size for each in discriminator.modules() if isinstance(each, nn.Conv2d)} == {(5, 5)}
    assert sum(isinstance(each, nn.MaxPool2d) for each in discriminator.modules()) == 2
    assert layers_of(discriminator, nn.Linear) == [(64 * 7 * 7, 1024), (1024, 1)]


def test_the_fully_connected_pair_has_the_layers_of_the_plan():
    channels = {"generator_channels": 256, "discriminator_channels": 256}
    config = ModelConfig(architecture="mlp", conditional=False, discriminator_dropout=0.3, **channels)
    generator, discriminator = build_generator(config), build_discriminator(config)
    assert layers_of(generator, nn.Linear) == [(100, 256), (256, 512), (512, 1024), (1024, 784)]
    assert layers_of(discriminator, nn.Linear) == [(784, 1024), (1024, 512), (512, 256), (256, 1)]
    assert [each.p for each in discriminator.modules() if isinstance(each, nn.Dropout)] == [0.3] * 3


@pytest.mark.parametrize("architecture", ["dcgan", "dcgan_all_conv", "dcgan_maxpool", "acgan"])
@pytest.mark.parametrize(("name", "kind"), [("batch", nn.BatchNorm2d), ("layer", nn.GroupNorm), ("none", None)])
def test_the_discriminator_is_normalised_as_asked(architecture, name, kind):
    discriminator = build_discriminator(model(architecture=architecture, discriminator_normalization=name))
    found = {type(each) for each in discriminator.modules()} & {nn.BatchNorm2d, nn.GroupNorm}
    assert found == ({kind} if kind else set())
    convolutions = [each for each in discriminator.maps if isinstance(each, nn.Conv2d)]
    assert (convolutions[1].bias is None) == (kind is not None)


def test_layer_normalisation_judges_each_image_by_itself():
    discriminator = build_discriminator(model(discriminator_normalization="layer"))
    images, labels = torch.rand(4, 1, 28, 28), torch.arange(4)
    alone = torch.cat([discriminator(images[i : i + 1], labels[i : i + 1]).logits for i in range(4)])
    torch.testing.assert_close(discriminator(images, labels).logits, alone)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
def test_spectral_norm_divides_every_layer_by_its_largest_singular_value(architecture):
    config = model(architecture=architecture, discriminator_normalization="none")
    discriminator = build_discriminator(config, spectral_norm=True)
    weighted = [each for each in discriminator.modules() if isinstance(each, nn.Conv2d | nn.Linear | nn.Embedding)]
    assert weighted
    with torch.no_grad():
        for _ in range(100):  # its power iteration takes one step a pass
            discriminator(torch.rand(2, 1, 28, 28), torch.arange(2))
        for layer in weighted:
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_discriminator_with_an_auxiliary_output_does_not_see_the_label(name):
    task, images, labels = ARCHITECTURES[name].auxiliary, torch.rand(3, 1, 28, 28), torch.arange(3)
    config = model(architecture=name, conditional=name != "infogan")
    discriminator = build_discriminator(config).eval()
    output = discriminator(images, labels)
    assert (output.auxiliary is None) == (task is None)
    if task:
        assert output.auxiliary.shape == (3, task.num_auxiliary(config))
        assert torch.equal(discriminator(images, labels + 1).logits, output.logits)


def test_of_infogans_first_ten_latents_only_the_largest_counts():
    generator = build_generator(model(architecture="infogan", conditional=False)).eval()
    latents = torch.randn(1, 16)
    latents[0, 3] = 5.0
    scaled, another = latents.clone(), latents.clone()
    scaled[:, :10] *= 0.3
    another[0, 7] = 6.0
    drawn = [generator(each, None) for each in (latents, scaled, another)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_label_loss_is_the_cross_entropy_of_the_labels():
    logits, labels = torch.randn(6, 10), torch.arange(6)
    expected = -torch.distributions.Categorical(logits=logits).log_prob(labels).mean()
    torch.testing.assert_close(LABELS.loss(logits, None, labels), expected)


def test_code_loss_is_the_unlikelihood_of_the_codes_up_to_a_constant():
    output, latents = torch.randn(6, 12), torch.randn(6, 16)
    category = torch.distributions.Categorical(logits=output[:, :10]).log_prob(latents[:, :10].argmax(dim=1))
    codes = torch.distributions.Normal(output[:, 10:], 1).log_prob(latents[:, 10:12]).sum(dim=1)
    expected = -(category + codes + math.log(2 * math.pi)).mean()
    torch.testing.assert_close(CODES.loss(output, latents, None), expected)


def test_an_autoencoders_logit_is_minus_its_mean_error():
    discriminator = build_discriminator(model(architecture="began", conditional=False))
    images = torch.rand(3, 1, 28, 28)
    reconstruction = discriminator.redraw(discriminator.squeeze(discriminator.maps(images).flatten(1)))
    expected = -(images - reconstruction).abs().flatten(1).mean(dim=1)
    torch.testing.assert_close(discriminator(images, None).logits, expected)


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in ("infogan", "began")])
@pytest.mark.parametrize("num_classes", [2, 26])
def test_a_conditional_model_takes_as_many_classes_as_the_data_has(name, num_classes):
    config = model(architecture=name, num_classes=num_classes)
    latents, labels = torch.randn(num_classes, 16), torch.arange(num_classes)
    images = build_generator(config)(latents, labels)
    assert images.shape == (num_classes, 1, 28, 28)
    output = build_discriminator(config)(images, labels)
    assert output.logits.shape == (num_classes,)
    assert output.auxiliary is None or output.auxiliary.shape == (num_classes, num_classes)
