"""The files of a workspace: every path that a stage or a command reads or writes, relative to its folder."""

from pathlib import Path

from dcgan.config.schema import TrainConfig

PARAMS = Path("params.yaml")

RAW = Path("data/raw")
DATASET = Path("data/dataset.safetensors")
REFERENCE = Path("data/reference/bounds.yaml")
"""Of images of the user's own; a person reviews it, and git keeps it."""

MODELS = Path("models")
CLASSIFIER = MODELS / "classifier.safetensors"
WITNESS = MODELS / "witness.safetensors"
TRAINING_INPUTS = (DATASET, CLASSIFIER)
GENERATOR = MODELS / "generator.safetensors"
DISCRIMINATOR = MODELS / "discriminator.safetensors"
NETWORKS = (GENERATOR, DISCRIMINATOR)
ONNX_GENERATOR = MODELS / "generator.onnx"
MODEL_CARD = MODELS / "MODEL_CARD.md"

REPORTS = Path("reports")
VALIDATION = REPORTS / "validation.json"
TRAINING_REPORTS = REPORTS / "training"
HISTORY = TRAINING_REPORTS / "history.jsonl"
SAMPLES = TRAINING_REPORTS / "samples"
EVALUATION = REPORTS / "evaluation.json"
EVALUATION_FIGURES = REPORTS / "evaluation"
METRICS = REPORTS / "metrics.json"
EXPORT = REPORTS / "export.json"
REPORT = REPORTS / "report.html"
REPORT_FILES = (REPORT, MODEL_CARD)
"""What people are handed with a model."""
DELIVERY = REPORTS / "delivery.json"
DELIVERY_PAGE = REPORTS / "delivery.html"
"""Of the delivery that was checked last."""
REGISTRATION = REPORTS / "registration.json"

RESULTS = (REPORT, EVALUATION_FIGURES / "samples.png", ONNX_GENERATOR)
"""What people look for when the pipeline has ended."""


def training_inputs(train: TrainConfig) -> tuple[Path, ...]:
    """What the stage `train` reads, with the weights that `train.init_from` names, if it does."""
    start = () if train.init_from is None else (Path(train.init_from, path.name) for path in NETWORKS)
    return (*TRAINING_INPUTS, *start)


# Known to git's ignore list, not to DVC: unfinished trainings, and what differs from run to run.
CHECKPOINTS = Path(".checkpoints")
LOCK = CHECKPOINTS / "lock"
"""Held by whoever trains or sends to MLflow; two at once would delete or repeat each other's work."""
DATA_DOCS = REPORTS / "data_docs"
TIMINGS = REPORTS / "timings.jsonl"
