"""Rules between parameters: what cannot work together is refused, by the dotted path of the parameter to change."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from dcgan.config.schema import (
    IMAGE_SIZE,
    MAX_MODEL_BYTES,
    NUM_CLASSES,
    NUM_CODES,
    NUM_TRAIN_IMAGES,
    GanConfig,
    ModelConfig,
    Params,
)
from dcgan.config.workspace import MODELS, NETWORKS
from dcgan.system.redaction import holds_secret

GRAPH_AND_DROPOUT = "dropout is random, and a graph would repeat it; set model.discriminator_dropout: 0"
BYTES_PER_WEIGHT = 4
"""Of the ONNX file, float32."""


def refuse_misfits(config: GanConfig) -> None:
    """Raise ValueError if architecture, loss, penalties and training do not go together."""
    for message in chain(_architecture(config), _size(config), _loss(config), _penalties(config), _training(config)):
        raise ValueError(message)


def refuse_bad_data(params: Params) -> None:
    """Raise ValueError if a later stage needs more training images than there are, or a mirror's address is secret."""
    data, num_classes = params.data, params.model.num_classes
    if data.classes is not None and num_classes != (count := len(data.classes)):
        raise ValueError(f"model.num_classes: {num_classes}, but data.classes names {count}; set it to {count}")
    if data.name != "images":
        if other := [label for label in data.classes or () if label >= NUM_CLASSES]:
            raise ValueError(f"data.classes: {other[0]} is no class of {data.name}, which has 0 to {NUM_CLASSES - 1}")
        if data.classes is None and num_classes != NUM_CLASSES:
            has = f"{data.name} has {NUM_CLASSES} classes"
            raise ValueError(f"model.num_classes: {num_classes}, but {has}; set it to {NUM_CLASSES}, or leave it out")
        refuse_few_images(params, NUM_TRAIN_IMAGES[data.name])
    if any(map(holds_secret, params.data.mirrors or ())):
        raise ValueError(
            "data.mirrors: an address with a user, a password or a query would be kept by git, DVC and MLflow; give it"
            " in MNIST_MIRROR"
        )


def refuse_few_images(params: Params, available: int) -> None:
    """Raise ValueError if a later stage needs more training images than there are."""
    what = params.data.name if params.data.classes is None else "the classes chosen"
    samples = {"train.batch_size": params.train.batch_size, "evaluate.num_samples": params.evaluate.num_samples}
    for path, needed in samples.items():
        if needed > available:
            raise ValueError(f"{path}: {needed:,} is more than the {available:,} training images of {what}; lower it")


def refuse_missing_files(params: Params, folder: Path) -> None:
    """Raise ValueError if a file that a later stage reads is not there; relative paths are relative to `folder`."""
    weights = params.evaluate.inception_weights
    if weights and not (folder / weights).is_file():
        raise ValueError(f"evaluate.inception_weights: {weights}: no such file; correct it, or set it to null")
    if start := params.train.init_from:
        if (folder / start).resolve() == (folder / MODELS).resolve():
            raise ValueError(f"train.init_from: {start}: is where the training writes; copy the folder, and name that")
        for path in (folder / start / network.name for network in NETWORKS):
            if not path.is_file():
                raise ValueError(f"train.init_from: {start}: holds no {path.name}; name a copy of a folder models")


def _architecture(config: GanConfig) -> Iterator[str]:
    model, name = config.model, config.model.architecture
    if name == "acgan" and not model.conditional:
        yield "model.conditional: acgan predicts labels; set it to true"
    if model.conditional and model.num_classes == 1:
        yield "model.conditional: of one class there is none to choose; set it to false"
    if name == "infogan" and model.conditional:
        yield "model.conditional: infogan finds classes by itself; set it to false"
    if name == "began" and model.conditional:
        yield "model.conditional: began's autoencoder uses no labels; set it to false"
    if name == "infogan" and model.latent_dim <= NUM_CODES:
        yield f"model.latent_dim: infogan uses the first {NUM_CODES} latents as codes; set more than {NUM_CODES}"
    if name == "began" and model.discriminator_dropout > 0:
        yield "model.discriminator_dropout: it would add to began's reconstruction error; set it to 0"


def _size(config: GanConfig) -> Iterator[str]:
    if (size := BYTES_PER_WEIGHT * num_generator_weights(config.model)) > MAX_MODEL_BYTES:
        yield (
            f"model.generator_channels: the generator would have {size / 2**20:,.0f} MB of weights, more than the"
            f" {MAX_MODEL_BYTES / 2**20:,.0f} that production loads; lower it, model.latent_dim or"
            " model.generator_refinements"
        )


def num_generator_weights(model: ModelConfig) -> int:
    """How many weights a generator has in its large layers, which are nearly all."""
    width, inputs = model.generator_channels, model.latent_dim + model.num_classes * model.conditional
    if model.architecture == "mlp":
        return inputs * width + 10 * width**2 + 4 * width * IMAGE_SIZE**2
    maps = 2 * width * 7 * 7
    if model.architecture == "began":
        return inputs * maps + 54 * width**2
    stem = 16 * width * (inputs + maps) if model.architecture == "dcgan_maxpool" else inputs * maps
    return stem + (32 + 9 * model.generator_refinements) * width**2


def _loss(config: GanConfig) -> Iterator[str]:
    name, penalties, is_began = config.loss.name, config.penalties, config.model.architecture == "began"
    if is_began and name != "boundary_equilibrium":
        yield "loss.name: began needs boundary_equilibrium, the loss of reconstruction errors"
    if name == "boundary_equilibrium" and not is_began:
        yield "loss.name: boundary_equilibrium needs model.architecture: began"
    if name == "wasserstein" and not (
        penalties.weight_clipping or penalties.gradient_penalty or penalties.spectral_norm or penalties.r1
    ):
        yield "loss.name: wasserstein needs one of penalties.gradient_penalty, weight_clipping, spectral_norm and r1"


def _penalties(config: GanConfig) -> Iterator[str]:
    model, penalties, loss = config.model, config.penalties, config.loss.name
    normalization = "none" if model.architecture in ("mlp", "began") else model.discriminator_normalization
    if penalties.weight_clipping and loss != "wasserstein":
        yield f"penalties.weight_clipping: it belongs to the loss wasserstein; {loss}'s logits would stay near 0"
    if penalties.weight_clipping and model.conditional:
        yield "penalties.weight_clipping: clipped weights are too small to use labels; set model.conditional: false"
    if penalties.gradient_penalty and normalization == "batch":
        yield "penalties.gradient_penalty: not with batch normalisation; set model.discriminator_normalization: layer"
    if penalties.spectral_norm and normalization != "none":
        yield "penalties.spectral_norm: normalisation undoes it; set model.discriminator_normalization: none"


def _training(config: GanConfig) -> Iterator[str]:
    train, rule = config.train, config.train.stop_when
    if train.cuda_graph == "on" and train.device == "cpu":
        yield "train.cuda_graph: on needs a GPU, but train.device is cpu; set one of them to auto"
    if train.cuda_graph == "on" and config.model.discriminator_dropout:
        yield f"train.cuda_graph: {GRAPH_AND_DROPOUT}, or train.cuda_graph: auto"
    if train.weight_decay and train.optimizer == "adam":
        yield "train.weight_decay: adam has none; set train.optimizer: adamw"
    if rule and rule.metric == "train/label_error" and not config.model.conditional:
        yield "train.stop_when.metric: an unconditional model has no labels; take train/quick_fcd"
