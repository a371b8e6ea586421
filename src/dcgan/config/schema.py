"""The sections of params.yaml as frozen dataclasses; a value out of bounds raises ValueError naming its field.

Numbers of images are called `images` or `kimg` (thousands), numbers of optimiser updates `steps`, passes over the
training set `epochs`; the latter exist only here.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from dcgan.config.bounds import (
    BelowOne,
    Bound,
    Channels,
    Epochs,
    NonNegative,
    Positive,
    Section,
    Seed,
    Share,
    Steps,
    above_zero,
    between,
)

KnownDataset = Literal["mnist", "fashion_mnist", "kmnist", "digits"]
DatasetName = Literal[KnownDataset, "images"]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "bf16", "fp32"]
Switch = Literal["auto", "on", "off"]
LatentDistribution = Literal["normal", "uniform"]
Architecture = Literal["dcgan", "dcgan_all_conv", "dcgan_maxpool", "mlp", "acgan", "infogan", "began"]
Normalization = Literal["batch", "layer", "none"]
LossName = Literal[
    "non_saturating", "minimax", "least_squares", "hinge", "wasserstein", "relativistic", "boundary_equilibrium"
]
Optimizer = Literal["adam", "adamw"]
Kept = Literal["last", "best"]
StopMetric = Literal["train/quick_fcd", "train/label_error"]
OnFailure = Literal["challenger", "fail"]

IMAGE_SIZE = 28
NUM_CLASSES = 10
"""Of every known data set."""
MAX_CLASSES, MAX_LABEL = 100, 255
NUM_CATEGORIES = 10
NUM_CODES = NUM_CATEGORIES + 2
"""Latents that infogan reads as codes: a category of ten, whatever the data, and two continuous ones."""
NUM_TRAIN_IMAGES: Mapping[KnownDataset, int] = {
    "mnist": 60_000,
    "fashion_mnist": 60_000,
    "kmnist": 60_000,
    "digits": 1442,
}
MAX_LATENT_DIM = 65_536
"""The ONNX contract's limit."""
MAX_MODEL_BYTES = 512 * 2**20
"""What production loads."""
LARGEST_TRAINING_SET = max(NUM_TRAIN_IMAGES.values())
MAX_NAME_LENGTH = 256
"""What the tables of MLflow hold of an experiment's or a model's name."""

BatchSize = Annotated[int, between(2, LARGEST_TRAINING_SET, "BatchNorm needs 2; no data set has more training images")]
NumSamples = Annotated[int, between(100, 1_000_000, "ten of each digit; a million take 3 GB of memory")]


def _are_classes(labels: object) -> bool:
    if not isinstance(labels, tuple) or not 1 <= len(labels) <= MAX_CLASSES:
        return False
    return len(set(labels)) == len(labels) and all(0 <= label <= MAX_LABEL for label in labels)


Classes = Annotated[tuple[int, ...], Bound(_are_classes, f"1 to {MAX_CLASSES} different labels, each 0 to {MAX_LABEL}")]


@dataclass(frozen=True, kw_only=True)
class DataConfig(Section):
    """Which data set, and where to fetch it."""

    name: DatasetName = "mnist"
    """Which data set; images: those in `path`."""
    path: str = "data/own"
    """Folder or file with images of one's own; docs/how-to/data-set.md tells what may be in it. DVC sees it change."""
    classes: Classes | None = None
    """Labels to take, numbered anew from 0 in their order; None: all."""
    mirrors: tuple[str, ...] | None = None
    """Folders or base URLs, tried in order after MNIST_MIRROR; None: torchvision's own list."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Section):
    """The shape of both networks."""

    architecture: Architecture = "dcgan"
    """Layers of both networks; docs/zoo.md shows what each draws."""
    conditional: bool = True
    """Whether both networks are given the digit as a label."""
    num_classes: Annotated[int, between(1, MAX_CLASSES, "a row of every figure for each")] = NUM_CLASSES
    """Classes of the data; a conditional generator is asked for one. Where params.yaml does not say it, as many as
    `data.classes` has, or as a known data set has."""
    latent_dim: Annotated[int, between(1, MAX_LATENT_DIM, "what production loads")] = 100
    """Numbers that the generator draws an image from."""
    latent_distribution: LatentDistribution = "normal"
    """Of the latents: standard normal, or uniform in [-1, 1]."""
    generator_channels: Channels = 64
    """Channels of the generator's 14x14 maps, twice as many at 7x7; mlp: units of its first layer, then twice more."""
    generator_refinements: Annotated[int, between(0, 100, "so deep a network without shortcuts learns nothing")] = 1
    """Further convolutions on the generator's 14x14 maps; a plain DCGAN has 0; mlp and began have no such maps."""
    discriminator_channels: Channels = 48
    """Channels of the discriminator's 14x14 maps, more further down; mlp: units of its last layer, more before."""
    discriminator_normalization: Normalization = "batch"
    """Normalisation between the discriminator's convolutions; mlp and began have none of their own."""
    discriminator_dropout: BelowOne = 0.0
    """Dropout probability after each hidden layer of the discriminator."""


@dataclass(frozen=True, kw_only=True)
class LossConfig(Section):
    """The adversarial objective."""

    name: LossName = "non_saturating"
    """What the two players minimise; docs/zoo.md compares them."""
    auxiliary: Positive = 1.0
    """Weight of the auxiliary loss: of the label (acgan) or of the codes (infogan)."""
    diversity: Annotated[float, above_zero(1)] = 0.5
    """γ of boundary_equilibrium: the target ratio of the fakes' error to the real images'; lower is less varied."""
    balance_gain: Positive = 0.001
    """λ_k of boundary_equilibrium: the step size of k_t."""


@dataclass(frozen=True, kw_only=True)
class PenaltiesConfig(Section):
    """Regularisation of the discriminator, and one term of the generator; 0 switches a term off."""

    r1: NonNegative = 0.05
    """γ of the zero-centred gradient penalty on real images, γ/2·|∇D|²."""
    r2: NonNegative = 0.0
    """The same on generated images."""
    gradient_penalty: NonNegative = 0.0
    """λ of WGAN-GP's penalty between real and generated images, λ·(|∇D| - 1)²."""
    every: Steps = 8
    """Steps between two of the penalties above; each is weighted by this, which keeps the average strength."""
    weight_clipping: NonNegative = 0.0
    """WGAN's limit: after every update, the discriminator's weights are clipped to ± this."""
    spectral_norm: bool = False
    """Whether each of the discriminator's weights is divided by its largest singular value."""
    moment_kl: NonNegative = 0.0
    """Weight, in the generator's loss, of the divergence between the pixels' mean and spread and the data's."""


@dataclass(frozen=True, kw_only=True)
class StopRule(Section):
    """Early stopping: training ends when `metric` was less than `below` at `checks` evaluations in a row."""

    metric: StopMetric
    """A figure of the quick evaluations."""
    below: Positive
    """The value that it has to fall below, in the metric's own unit."""
    checks: Annotated[int, between(1, 1_000_000, "more evaluations than any training has")] = 1
    """Evaluations in a row at which it has to be lower."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Section):
    """Length, learning rates, hardware and reports of the GAN's training."""

    seed: Seed = 0
    """Decides weights, order of the images and latents: equal seeds give equal bytes on one machine type."""
    epochs: Epochs = 9
    """Passes over the training set."""
    batch_size: BatchSize = 64
    """Real images, and as many samples, of a step."""
    generator_learning_rate: Positive = 4e-3
    """Adam's step size for the generator, until the rates begin to fall."""
    discriminator_learning_rate: Positive = 2e-3
    """The same for the discriminator."""
    learning_rate_decay_from: Share = 0.5
    """Share of the run after which both rates fall linearly to zero; 1 keeps them constant."""
    beta1: BelowOne = 0.5
    """Adam's decay, for each step, of the mean of gradients; of both players."""
    beta2: BelowOne = 0.999
    """Adam's decay, for each step, of the mean of squared gradients; of both players."""
    optimizer: Optimizer = "adam"
    """Of both players; adamw also decays the weights."""
    weight_decay: NonNegative = 0.0
    """Of adamw: share of a weight, times the learning rate, that every update takes away."""
    discriminator_steps: Annotated[int, between(1, 100, "the generator would hardly learn")] = 1
    """Discriminator updates for each update of the generator."""
    ema_halflife_kimg: NonNegative = 30.0
    """Half-life of the averaged generator in thousands of images; 0 copies the generator itself."""
    device: Device = "auto"
    """Where training runs; auto: the GPU if PyTorch finds one."""
    precision: Precision = "auto"
    """Arithmetic of the networks; auto: bf16 where the hardware computes it natively."""
    cuda_graph: Switch = "auto"
    """Whether steps are recorded and replayed as CUDA graphs, several times as fast for small batches; auto: on a GPU,
    unless the discriminator has dropout, which is random."""
    threads: Annotated[int, between(1, 1024, "more than a machine has cores")] | None = None
    """CPU threads; None: as many as are free (docs/how-to/gpu.md). Bit-identical runs need equal thread counts."""
    checkpoint_every: Steps = 500
    """Steps between two checkpoints."""
    sample_every: Steps | None = None
    """Steps between two sample grids; None: one an epoch."""
    report_every: Steps = 50
    """Steps between two rows of the history, each a mean over them."""
    evaluate_every: Steps | None = None
    """Steps between two quick evaluations of the samples; None: one an epoch."""
    keep: Kept = "last"
    """Which networks are saved at the end: the last, or those with the lowest quick_fcd."""
    stop_when: StopRule | None = None
    """Early stopping; None: all epochs are trained."""
    max_rollbacks: Annotated[int, between(0, 100, "each halves the learning rates")] = 2
    """How often a run that diverges may go back to its newest checkpoint, each time with half the learning rates."""
    init_from: str | None = None
    """Folder with the generator.safetensors and discriminator.safetensors of an earlier training, to start from; None:
    random weights. DVC does not see these files change; their digests are in MLflow, and tell checkpoints apart."""
    max_steps: Steps | None = None
    """Upper limit of steps, whatever `epochs` says; for short runs and tests."""


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(Section):
    """Training of the digit classifiers on whose features samples are evaluated; the witness has another seed."""

    seed: Seed = 0
    """Decides weights, order of the images and shifts."""
    epochs: Epochs = 3
    """Passes over the training set."""
    batch_size: BatchSize = 128
    """Images of a step."""
    learning_rate: Positive = 4e-3
    """AdamW's largest step size; it rises and falls once."""
    max_shift: Annotated[int, between(0, 14, "half an image")] = 2
    """Pixels by which a batch is shifted each way, at random."""
    checkpoint_every: Steps = 500
    """Steps between two checkpoints."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(Section):
    """How many samples are evaluated, and from which seeds."""

    seed: Seed = 0
    """The first sampling seed; the others follow it."""
    num_samples: NumSamples = 10_000
    """Samples for each sampling seed; the floor is measured on as many training images."""
    num_seeds: Annotated[int, between(1, 1000, "the spread is known by then")] = 3
    """Sampling seeds; headline figures are their mean, with its spread."""
    num_train_on_fake: NumSamples = 30_000
    """Samples that a classifier is trained on before it is tested on the test images."""
    num_two_sample: NumSamples = 30_000
    """Samples that the two-sample test learns from, beside as many training images: at most half of all of these."""
    two_sample_epochs: Annotated[int, between(1, 1000, "it knows the samples by heart then")] = 6
    """Passes over both; more passes find smaller differences."""
    num_neighbour_queries: Annotated[int, between(30, 1_000_000, "an hour of searching")] = 5_000
    """Samples whose nearest training images are searched for."""
    inception_weights: str | None = None
    """File with the TensorFlow Inception-v3 weights, as torch-fidelity names them; None: no `fid`."""


@dataclass(frozen=True, kw_only=True)
class ExportConfig(Section):
    """The ONNX file."""

    opset: Annotated[int, between(18, 23, "what the exporter knows")] = 20
    """Version of ONNX's operators; a later one needs a newer runtime."""


@dataclass(frozen=True, kw_only=True)
class GatesConfig(Section):
    """What a model must reach to become champion; None switches a gate off.

    The bounds are the default recipe's level on MNIST (docs/decisions/0003-measuring.md).
    """

    on_failure: OnFailure = "challenger"
    """What a failed gate does: the model is registered as challenger, and the stage `register` succeeds or fails."""
    fcd_over_floor: Positive | None = 2.2
    """Upper limit of fcd, as a multiple of the floor, which is real training images' fcd."""
    witness_fcd_over_floor: Positive | None = 2.2
    """The same on the features of the witness."""
    two_sample_accuracy: Share | None = 0.89
    """Upper limit of the share of test images and samples that a fresh network tells right."""
    label_accuracy: Share | None = 0.985
    """Lower limit of the share of samples that the classifier recognises as their label."""
    precision_over_floor: NonNegative | None = 0.9
    """Lower limit of precision, as a share of real images'."""
    recall_over_floor: NonNegative | None = 0.88
    """Lower limit of recall, as a share of real images'."""
    min_class_share: Annotated[float, between(0, 0.1, "one of ten classes")] | None = 0.08
    """Lower limit of the rarest digit's share of the samples, for ten classes; for fewer or more it is scaled."""


def _is_experiment_name(name: str) -> bool:
    return bool(name.strip()) and len(name) <= MAX_NAME_LENGTH


def _is_model_name(name: str) -> bool:
    """Whether MLflow takes the name, and finds it in an address such as models:/NAME@champion."""
    is_plain = not any(character in "/:@?" or character < " " for character in name)
    return any(map(str.isalnum, name)) and is_plain and len(name) <= MAX_NAME_LENGTH


ExperimentName = Annotated[str, Bound(_is_experiment_name, f"a name of at most {MAX_NAME_LENGTH} characters")]
ModelName = Annotated[
    str, Bound(_is_model_name, f"a name of at most {MAX_NAME_LENGTH} characters, without / : @ ? and line ends")
]


@dataclass(frozen=True, kw_only=True)
class TrackingConfig(Section):
    """Names in MLflow."""

    experiment: ExperimentName = "dcgan-mnist"
    """The experiment that runs belong to."""
    registered_model: ModelName = "dcgan-generator"
    """The model in the registry that `register` adds versions to."""


@dataclass(frozen=True, kw_only=True)
class GanConfig(Section):
    """All that the trained weights depend on, besides data and code."""

    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    penalties: PenaltiesConfig = PenaltiesConfig()
    train: TrainConfig = TrainConfig()

    @property
    def summary(self) -> str:
        """The configuration in one sentence for people."""
        kind = "Conditional" if self.model.conditional else "Unconditional"
        named = {"R1 γ": "r1", "R2 γ": "r2", "gradient penalty": "gradient_penalty"}
        weights = {title: getattr(self.penalties, name) for title, name in named.items()}
        penalty = "".join(
            f", {title} {weight} every {self.penalties.every} steps" for title, weight in weights.items() if weight
        )
        return (
            f"{kind} {self.model.architecture}, {self.loss.name.replace('_', '-')} loss{penalty},"
            f" {self.train.epochs} epochs in batches of {self.train.batch_size}, seed {self.train.seed},"
            f" {self.train.precision} on {self.train.device}."
        )


@dataclass(frozen=True, kw_only=True)
class Params(Section):
    """The whole of params.yaml; the defaults are the shipped configuration for MNIST."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    penalties: PenaltiesConfig = PenaltiesConfig()
    train: TrainConfig = TrainConfig()
    classifier: ClassifierConfig = ClassifierConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    export: ExportConfig = ExportConfig()
    gates: GatesConfig = GatesConfig()
    tracking: TrackingConfig = TrackingConfig()

    @property
    def gan(self) -> GanConfig:
        """The sections that training reads."""
        return GanConfig(model=self.model, loss=self.loss, penalties=self.penalties, train=self.train)


WITHOUT_EFFECT = {
    "report_every", "sample_every", "checkpoint_every", "keep", "max_rollbacks", "device", "cuda_graph", "threads",
}  # fmt: skip
"""Parameters that do not shape the networks of a step: they may change while a training is interrupted."""


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Every value of a (nested) config dataclass under its dotted path, as `train.epochs`."""
    flat: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value, path = getattr(config, field.name), f"{prefix}{field.name}"
        flat |= flatten(value, f"{path}.") if dataclasses.is_dataclass(value) else {path: value}
    return flat
