"""The sections of params.yaml as frozen dataclasses; a value out of range raises ValueError naming its field.

Numbers of images are called `images` or `kimg` (thousands), numbers of optimiser updates `steps`, passes over the
training set `epochs`; the latter exist only here.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

DatasetName = Literal["mnist", "fashion_mnist", "kmnist", "digits"]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "bf16", "fp32"]
LatentDistribution = Literal["normal", "uniform"]
Architecture = Literal["dcgan", "dcgan_all_conv", "dcgan_maxpool", "mlp", "acgan", "infogan", "began"]
Normalization = Literal["batch", "layer", "none"]
LossName = Literal[
    "non_saturating", "minimax", "least_squares", "hinge", "wasserstein", "relativistic", "boundary_equilibrium"
]
Optimizer = Literal["adam", "adamw"]
Kept = Literal["last", "best"]
Judged = Literal["train/quick_fcd", "train/label_error"]

IMAGE_SIZE = 28
NUM_CLASSES = 10
NUM_CODES = NUM_CLASSES + 2
"""Latents that infogan reads as codes: a category of ten, and two continuous ones."""
MIN_SAMPLES = 100
"""Fewer tell nothing: ten a digit."""


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise ValueError(f"{name}: {value} is out of range; expected {expected}")


def _require_positive(section: object, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        _require(value > 0, name, value, "more than 0")


def _require_positive_or_none(section: object, *names: str) -> None:
    _require_positive(section, *(name for name in names if getattr(section, name) is not None))


def _require_batch_size(batch_size: int) -> None:
    _require(batch_size > 1, "batch_size", batch_size, "2 or more (BatchNorm)")


def _require_seed(seed: int) -> None:
    _require(0 <= seed < 2**63, "seed", seed, "in 0..2^63 - 1")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which data set, and where to fetch it."""

    name: DatasetName = "mnist"
    mirrors: tuple[str, ...] | None = None
    """Folders or base URLs, tried in order after MNIST_MIRROR; None: torchvision's own list."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The shape of both networks."""

    architecture: Architecture = "dcgan"
    """docs/zoo.md shows what each draws."""
    conditional: bool = True
    """Whether both networks are told which digit to draw or to judge."""
    latent_dim: int = 100
    latent_distribution: LatentDistribution = "normal"
    """Standard normal, or uniform in [-1, 1]."""
    generator_channels: int = 64
    """Channels of the generator's 14x14 maps, twice as many at 7x7; mlp: units of its first layer, then twice more."""
    generator_refinements: int = 1
    """Further convolutions on the generator's 14x14 maps; a plain DCGAN has 0; mlp and began have no such maps."""
    discriminator_channels: int = 48
    """Channels of the discriminator's 14x14 maps, more further down; mlp: units of its last layer, more before."""
    discriminator_normalization: Normalization = "batch"
    """Between the discriminator's convolutions; mlp and began have none of their own."""
    discriminator_dropout: float = 0.0
    """Share of the discriminator's activations that are dropped at random after each hidden layer."""

    def __post_init__(self) -> None:
        _require_positive(self, "latent_dim", "generator_channels", "discriminator_channels")
        _require(self.generator_refinements >= 0, "generator_refinements", self.generator_refinements, "0 or more")
        dropout = self.discriminator_dropout
        _require(0 <= dropout < 1, "discriminator_dropout", dropout, "in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The adversarial objective."""

    name: LossName = "non_saturating"
    auxiliary: float = 1.0
    """Weight of reading the label (acgan) or the codes (infogan) off the images; others have nothing to read."""
    diversity: float = 0.5
    """γ of boundary_equilibrium, the wanted ratio of the fakes' error to the real images': less is less varied."""
    balance_gain: float = 0.001
    """λ of boundary_equilibrium: how far a step moves the balance for an error of 1."""

    def __post_init__(self) -> None:
        _require_positive(self, "auxiliary", "balance_gain")
        _require(0 < self.diversity <= 1, "diversity", self.diversity, "in (0, 1]")


@dataclass(frozen=True, kw_only=True)
class PenaltiesConfig:
    """Terms that keep the discriminator smooth, and one on the generator; 0 switches a term off."""

    r1: float = 0.05
    """γ of the zero-centred gradient penalty on real images, γ/2·|∇D|²."""
    r2: float = 0.0
    """The same on generated images."""
    gradient_penalty: float = 0.0
    """λ of WGAN-GP's penalty between real and generated images, λ·(|∇D| - 1)²."""
    every: int = 8
    """Steps between two of the penalties above; each is weighted by this, which keeps the average strength."""
    weight_clipping: float = 0.0
    """WGAN's bound: after every update, the discriminator's weights are cut to ± this."""
    spectral_norm: bool = False
    """Whether each of the discriminator's layers is divided by its largest singular value."""
    moment_kl: float = 0.0
    """Weight, in the generator's loss, of the divergence between the pixels' mean and spread and the data's."""

    def __post_init__(self) -> None:
        _require_positive(self, "every")
        for name in ("r1", "r2", "gradient_penalty", "weight_clipping", "moment_kl"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """When training may end before its last epoch: `checks` times in a row, `metric` was less than `below`."""

    metric: Judged
    below: float
    checks: int = 1

    def __post_init__(self) -> None:
        _require_positive(self, "below", "checks")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long and how fast both players learn, where, and what is reported on the way."""

    seed: int = 0
    epochs: int = 9
    batch_size: int = 64
    generator_learning_rate: float = 4e-3
    discriminator_learning_rate: float = 2e-3
    learning_rate_decay_from: float = 0.5
    """Share of the run after which both rates fall linearly to zero; 1 keeps them constant."""
    beta1: float = 0.5
    beta2: float = 0.999
    optimizer: Optimizer = "adam"
    weight_decay: float = 0.0
    """Of adamw: share of a weight, times the learning rate, that every update takes away."""
    discriminator_steps: int = 1
    """The generator learns at every so many-th step, the discriminator at each."""
    ema_halflife_kimg: float = 30.0
    """Half-life of the averaged generator in thousands of images; 0 copies the generator itself."""
    device: Device = "auto"
    precision: Precision = "auto"
    """Arithmetic of the networks; auto: bf16 where the hardware computes it natively."""
    threads: int | None = None
    """CPU threads; None: what PyTorch chooses. Bit-identical runs need equal thread counts."""
    checkpoint_every: int = 500
    """Steps between two checkpoints."""
    sample_every: int | None = None
    """Steps between two sample grids; None: one an epoch."""
    report_every: int = 50
    """Steps that one row of the history averages over."""
    evaluate_every: int | None = None
    """Steps between two quick judgements of the samples; None: one an epoch."""
    keep: Kept = "last"
    """The networks that training hands on: its last, or those of the quick judgement with the least fcd."""
    stop_when: StopRule | None = None
    max_rollbacks: int = 2
    """How often a run that diverges goes back to its newest checkpoint, each time with half the learning rates."""
    max_steps: int | None = None
    """Stop after so many steps, whatever `epochs` says; for trials and tests."""

    def __post_init__(self) -> None:
        _require_positive(self, "epochs", "generator_learning_rate", "discriminator_learning_rate")
        _require_positive(self, "checkpoint_every", "report_every", "discriminator_steps")
        _require_positive_or_none(self, "threads", "sample_every", "evaluate_every", "max_steps")
        _require_seed(self.seed)
        _require_batch_size(self.batch_size)
        _require(self.ema_halflife_kimg >= 0, "ema_halflife_kimg", self.ema_halflife_kimg, "≥ 0")
        _require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")
        _require(self.max_rollbacks >= 0, "max_rollbacks", self.max_rollbacks, "0 or more")
        for name in ("beta1", "beta2"):
            _require(0 <= getattr(self, name) < 1, name, getattr(self, name), "in [0, 1)")
        share = self.learning_rate_decay_from
        _require(0 <= share <= 1, "learning_rate_decay_from", share, "in [0, 1]")


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """Training of the digit classifier whose features judge the samples."""

    seed: int = 0
    epochs: int = 3
    batch_size: int = 128
    learning_rate: float = 4e-3
    checkpoint_every: int = 500
    """Steps between two checkpoints."""

    def __post_init__(self) -> None:
        _require_positive(self, "epochs", "learning_rate", "checkpoint_every")
        _require_batch_size(self.batch_size)
        _require_seed(self.seed)


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """How many samples are judged, and from which seeds."""

    seed: int = 0
    """The first sampling seed; the others follow it."""
    num_samples: int = 10_000
    """Judged a sampling seed; floors are measured on as many training images."""
    num_seeds: int = 3
    """Sampling seeds whose mean and spread a headline figure tells."""
    num_train_on_fake: int = 30_000
    """Samples that a classifier learns from before it reads the test images."""
    num_neighbour_queries: int = 5_000
    """Samples whose nearest training images are looked for; 30 or more."""
    inception_weights: str | None = None
    """File with the TensorFlow Inception-v3 weights, as torch-fidelity names them; None: no `fid`."""

    def __post_init__(self) -> None:
        for name in ("num_samples", "num_train_on_fake"):
            _require(getattr(self, name) >= MIN_SAMPLES, name, getattr(self, name), f"{MIN_SAMPLES} or more")
        _require_positive(self, "num_seeds")
        _require(self.num_neighbour_queries >= 30, "num_neighbour_queries", self.num_neighbour_queries, "30 or more")
        _require_seed(self.seed)


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """The ONNX file."""

    opset: int = 20

    def __post_init__(self) -> None:
        _require(18 <= self.opset <= 23, "opset", self.opset, "in 18..23")


@dataclass(frozen=True, kw_only=True)
class GatesConfig:
    """What a model must hold to become champion; None switches a gate off."""

    fcd_over_floor: float | None = 6.0
    """Most that fcd may be, as a multiple of the real-against-real floor."""
    label_accuracy: float | None = 0.98
    """Least share of samples that the classifier reads as the digit asked for."""
    precision_over_floor: float | None = 0.8
    """Least precision, as a share of real images' own: what does not look real fails it."""
    recall_over_floor: float | None = 0.8
    """Least recall, as a share of real images' own: a generator that draws little of the variety fails it."""
    min_class_share: float | None = 0.07
    """Least share of the samples that any digit may have."""


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """Names in MLflow."""

    experiment: str = "dcgan-mnist"
    registered_model: str = "dcgan-generator"


@dataclass(frozen=True, kw_only=True)
class GanConfig:
    """All that the trained weights depend on besides the data and the code."""

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
class Params:
    """The whole of params.yaml; what it leaves out has the default, and the defaults are the recipe for MNIST."""

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


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Every value of a (nested) config dataclass under its dotted path, as `train.epochs`."""
    flat: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value, path = getattr(config, field.name), f"{prefix}{field.name}"
        flat |= flatten(value, f"{path}.") if dataclasses.is_dataclass(value) else {path: value}
    return flat
