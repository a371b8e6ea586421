"""Quick evaluation of a generator, as the stage train wires it."""

from collections.abc import Callable, Mapping
from functools import partial

from torch import nn

from dcgan.classifier.network import Classifier
from dcgan.classifier.quick_fcd import QuickFcd
from dcgan.config.schema import ModelConfig
from dcgan.data.dataset import LabelledImages
from dcgan.gan.sampling import sample_from_seed


def quick_judge(
    classifier: Classifier, data: LabelledImages, model: ModelConfig
) -> Callable[[nn.Module], Mapping[str, float]]:
    """Figures of a generator in evaluation mode, by 2,000 samples or as many as the data allow."""
    quick_fcd = QuickFcd(classifier, data)
    return lambda generator: quick_fcd(partial(sample_from_seed, generator, model))
