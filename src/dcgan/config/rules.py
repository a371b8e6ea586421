"""Which architectures, losses and penalties go together; what cannot work is refused with the reason."""

from dcgan.config.schema import NUM_CODES, GanConfig, LossConfig, ModelConfig, PenaltiesConfig, TrainConfig

Misfit = tuple[bool, str, str]
"""Whether it is one, the parameter to change, and why."""


def refuse_misfits(config: GanConfig) -> None:
    """Raise ValueError, naming the parameter to change by its dotted path, if parts of `config` do not go together."""
    model, loss, penalties = config.model, config.loss, config.penalties
    for is_misfit, name, reason in (
        *_within_the_model(model),
        *_between_sections(model, loss, penalties),
        *_within_training(model, config.train),
    ):
        if is_misfit:
            raise ValueError(f"{name}: {reason}")


def _within_the_model(model: ModelConfig) -> tuple[Misfit, ...]:
    """What the architecture does not go with."""
    name = model.architecture
    return (
        (name == "acgan" and not model.conditional, "model.conditional", "acgan reads labels off images: set true"),
        (name == "infogan" and model.conditional, "model.conditional", "infogan finds classes by itself: set false"),
        (
            name == "began" and model.conditional,
            "model.conditional",
            "began judges images by how well it redraws them, whatever their label: set false",
        ),
        (
            name == "infogan" and model.latent_dim <= NUM_CODES,
            "model.latent_dim",
            f"infogan reads the first {NUM_CODES} latents as codes: take more than {NUM_CODES}",
        ),
        (
            name == "began" and model.discriminator_dropout > 0,
            "model.discriminator_dropout",
            "began's logit is the error of a picture, which dropout would spoil: set 0",
        ),
    )


def _between_sections(model: ModelConfig, loss: LossConfig, penalties: PenaltiesConfig) -> tuple[Misfit, ...]:
    """What loss, penalties and architecture do not allow each other."""
    normalization = "none" if model.architecture in ("mlp", "began") else model.discriminator_normalization
    bounds = (penalties.weight_clipping, penalties.gradient_penalty, penalties.spectral_norm, penalties.r1)
    of_began = (model.architecture == "began", loss.name == "boundary_equilibrium")
    return (
        (of_began == (True, False), "loss.name", "began needs boundary_equilibrium, whose logits are minus its errors"),
        (of_began == (False, True), "loss.name", "boundary_equilibrium weighs an autoencoder's errors: take began"),
        (
            loss.name == "wasserstein" and not any(bounds),
            "loss.name",
            "wasserstein needs a bounded slope: set penalties.gradient_penalty, weight_clipping, spectral_norm or r1",
        ),
        (
            penalties.weight_clipping > 0 and loss.name != "wasserstein",
            "penalties.weight_clipping",
            f"it belongs to the loss wasserstein; under {loss.name} the logits would stay near 0",
        ),
        (
            penalties.weight_clipping > 0 and model.conditional,
            "penalties.weight_clipping",
            "cut weights are too small to carry the label: set model.conditional false, or take gradient_penalty",
        ),
        (
            penalties.gradient_penalty > 0 and normalization == "batch",
            "penalties.gradient_penalty",
            "batch normalisation gives an image no gradient of its own: set model.discriminator_normalization layer",
        ),
        (
            penalties.spectral_norm and normalization != "none",
            "penalties.spectral_norm",
            "a normalisation undoes its bound: set model.discriminator_normalization none",
        ),
    )


def _within_training(model: ModelConfig, train: TrainConfig) -> tuple[Misfit, ...]:
    """What the optimiser and the rule to stop do not go with."""
    rule = train.stop_when
    return (
        (train.weight_decay > 0 and train.optimizer == "adam", "train.weight_decay", "adam has none; take adamw"),
        (
            rule is not None and rule.metric == "train/label_error" and not model.conditional,
            "train.stop_when.metric",
            "an unconditional model is not asked for digits that could be label_error: take train/quick_fcd",
        ),
    )
