"""What a report says of each data set: its name, where it comes from, and its licence."""

from collections.abc import Mapping
from dataclasses import dataclass

from dcgan.config.schema import DatasetName


@dataclass(frozen=True, kw_only=True)
class DataSetCard:
    """A data set for readers."""

    title: str
    noun: str
    """What one image shows."""
    hub_id: str
    """Its name on the Hugging Face Hub; empty if it is not there."""
    license_id: str
    """Its licence, as the Hub spells it."""
    license: str
    license_url: str
    """Empty if nothing is known of it."""
    holder: str
    """Who made it or holds the copyright."""
    source: str
    """The page that says so."""


CARDS: Mapping[DatasetName, DataSetCard] = {
    "mnist": DataSetCard(
        title="MNIST",
        noun="digit",
        hub_id="ylecun/mnist",
        license_id="cc-by-sa-3.0",
        license="CC BY-SA 3.0",
        license_url="https://creativecommons.org/licenses/by-sa/3.0/",
        holder="Yann LeCun and Corinna Cortes; derived from NIST's databases",
        source="https://keras.io/api/datasets/mnist/",
    ),
    "fashion_mnist": DataSetCard(
        title="Fashion-MNIST",
        noun="article of clothing",
        hub_id="zalando-datasets/fashion_mnist",
        license_id="mit",
        license="MIT",
        license_url="https://opensource.org/license/mit",
        holder="Zalando SE",
        source="https://github.com/zalandoresearch/fashion-mnist",
    ),
    "kmnist": DataSetCard(
        title="Kuzushiji-MNIST",
        noun="character",
        hub_id="tanganke/kmnist",
        license_id="cc-by-sa-4.0",
        license="CC BY-SA 4.0",
        license_url="https://creativecommons.org/licenses/by-sa/4.0/",
        holder="“KMNIST Dataset” (created by CODH), adapted from “Kuzushiji Dataset” (created by NIJL and others),"
        " doi:10.20676/00000341",
        source="https://github.com/rois-codh/kmnist",
    ),
    "digits": DataSetCard(
        title="scikit-learn’s digits",
        noun="digit",
        hub_id="sklearn-docs/digits",
        license_id="cc-by-4.0",
        license="CC BY 4.0",
        license_url="https://creativecommons.org/licenses/by/4.0/",
        holder="E. Alpaydin and C. Kaynak; test images of “Optical Recognition of Handwritten Digits”, UCI, enlarged"
        " from 8×8 pixels",
        source="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
    ),
    "images": DataSetCard(
        title="images of one’s own",
        noun="image",
        hub_id="",
        license_id="unknown",
        license="not known here",
        license_url="",
        holder="whoever trained this model knows who holds the rights in the images",
        source="the folder or file `data.path`",
    ),
}
