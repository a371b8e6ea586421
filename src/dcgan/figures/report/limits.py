"""The limits of a model in sentences that follow from its figures."""

from collections.abc import Callable

from dcgan.config.schema import IMAGE_SIZE, Params
from dcgan.figures.report.data_sets import DataSetCard
from dcgan.figures.report.tables import Evaluation, number, percent, pixel_rows

FAR_FROM_CHANCE = 0.02
"""An accuracy of the two-sample test beyond its floor by less than this is no finding."""
FEW_IMAGES = 2000
"""Test images below which figures move noticeably from one choice of images to another."""


OF_THESE_CLASSIFIERS = (
    "Distances, precision and recall see only what this project’s classifiers look at. They compare with those of other"
    " models under the same classifiers, data and numbers of samples alone, and with no published value."
)


def limits_of(evaluation: Evaluation, params: Params, data: DataSetCard) -> list[str]:
    """What the figures say against the model, the gravest first, and then what no figure says."""
    checks: tuple[Callable[[Evaluation], str], ...] = (
        _collapse, _two_sample, _distance, _precision, _recall, _labels, _classes, _pixels, _train_on_fake, _copies,
        _few_images,
    )  # fmt: skip
    found = [sentence for check in checks if (sentence := check(evaluation))]
    return [
        *found,
        f"The figures are of one training, with seed {params.train.seed}; others give other figures.",
        OF_THESE_CLASSIFIERS,
        f"It draws one {data.noun} in {IMAGE_SIZE}×{IMAGE_SIZE} grey pixels, as in {data.title}, and nothing else.",
    ]


def _collapse(evaluation: Evaluation) -> str:
    reason = evaluation.get("collapse")
    return f"The training counts as collapsed: {reason}." if reason else ""


def _two_sample(evaluation: Evaluation) -> str:
    accuracy, floor = evaluation["two_sample_accuracy"], evaluation["two_sample_accuracy_floor"]
    if accuracy - floor < FAR_FROM_CHANCE:
        return (
            f"The two-sample test finds no difference from real images ({percent(accuracy)} right, {percent(floor)} for"
            " real images alone); a longer look or more images may find one."
        )
    return (
        f"The samples can be told from real images: a fresh network is right about {percent(accuracy)} of test images"
        f" and samples ({percent(floor)} for real images alone)."
    )


def _distance(evaluation: Evaluation) -> str:
    ratio, witness = evaluation["fcd_over_floor"], evaluation["witness_fcd_over_floor"]
    if max(ratio, witness) <= 1:
        return ""
    return (
        f"The samples are {number(ratio)} times as far from the test images as training images are by the classifier’s"
        f" features, {number(witness)} times by the witness’s."
    )


def _precision(evaluation: Evaluation) -> str:
    if not _falls_short(evaluation, "precision"):
        return ""
    outside, floor = (percent(1 - evaluation[name]) for name in ("precision", "precision_floor"))
    return f"{outside} of the samples look like no real image to the classifier (of training images: {floor})."


def _recall(evaluation: Evaluation) -> str:
    if not _falls_short(evaluation, "recall"):
        return ""
    missing, floor = (percent(1 - evaluation[name]) for name in ("recall", "recall_floor"))
    return f"{missing} of the real images look like no sample: the samples vary less (of training images: {floor})."


def _falls_short(evaluation: Evaluation, name: str) -> bool:
    """Whether a score is below real images' by more than its spread over the sampling seeds."""
    return bool(evaluation[f"{name}_floor"] - evaluation[name] > (evaluation[f"{name}_spread"] or 0))


def _labels(evaluation: Evaluation) -> str:
    accuracy, by_class = evaluation["label_accuracy"], evaluation["label_accuracy_per_class"]
    if accuracy is None:
        return "It takes no label: what it draws cannot be chosen."
    if accuracy == 1:
        return ""
    worst = min(range(len(by_class)), key=by_class.__getitem__)
    return (
        f"{percent(1 - accuracy)} of the samples are not recognised as the label asked for (of test images:"
        f" {percent(1 - evaluation['label_accuracy_floor'])}); most often {evaluation['class_names'][worst]},"
        f" {percent(1 - by_class[worst])}."
    )


def _classes(evaluation: Evaluation) -> str:
    shares = evaluation["class_shares"]
    rarest = min(range(len(shares)), key=shares.__getitem__)
    if shares[rarest] > 0.8 / len(shares):
        return ""
    name = evaluation["class_names"][rarest]
    return f"Classes are not drawn equally often: {name} is {percent(shares[rarest])} of the samples."


def _pixels(evaluation: Evaluation) -> str:
    marked = [(words, values[:2]) for words, values, stands_out in pixel_rows(evaluation) if stands_out]
    if not marked:
        return ""
    told = "; ".join(f"{words}: {samples}, real {real}" for words, (samples, real) in marked)
    return f"Pixel statistics that differ from real images’: {told}."


def _train_on_fake(evaluation: Evaluation) -> str:
    accuracy, floor = evaluation["train_on_fake"], evaluation["train_on_fake_floor"]
    if accuracy is None or accuracy >= floor:
        return ""
    return (
        "They are no full substitute for real images: a classifier that learnt from samples alone reaches"
        f" {percent(accuracy)} on the test images, one that learnt from real images {percent(floor)}."
    )


def _copies(evaluation: Evaluation) -> str:
    found, floor = evaluation["authenticity"], evaluation["authenticity_floor"]
    if found >= floor:
        return ""
    return (
        f"The samples are nearer to training images than test images are (authenticity {number(found)}, test images"
        f" {number(floor)}): look at the nearest pairs before you rely on their being new."
    )


def _few_images(evaluation: Evaluation) -> str:
    count = evaluation["num_test_images"]
    return f"There are only {count:,} test images, so every figure is uncertain." if count < FEW_IMAGES else ""
