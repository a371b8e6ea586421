"""What the stages leave that a report is made from, made up: the figures of a good MNIST model, and small pictures."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dcgan.config import workspace
from dcgan.config.params_file import changed
from dcgan.config.schema import Params
from dcgan.figures.pixels import COLUMNS, STATISTICS
from dcgan.figures.report.page import CHARTS, GRIDS
from dcgan.system.files import sha256_of, write_bytes, write_json
from tiny_workspace import write_dataset

HISTORY = [
    {"step": 10, "discriminator/loss": 1.0, "generator/loss": 2.0},
    {"step": 20, "train/quick_fcd": 3.0, "train/quick_fcd_floor": 0.1},
]
SCORES = {  # with spread and floor
    "fcd": (0.25, 0.01, 0.149), "kcd": (0.0021, 0.0001, 0.0009), "precision": (0.82, 0.004, 0.856),
    "recall": (0.823, 0.004, 0.876), "density": (0.9, 0.01, 0.98), "coverage": (0.91, 0.01, 0.95),
    "classifier_score": (9.9, 0.01, 9.85), "class_divergence": (0.0001, 0.00001, 0.001),
    "label_accuracy": (0.992, 0.001, 0.9938),
}  # fmt: skip
FLOORED = {
    "witness_fcd": (2.8, 1.7), "two_sample_accuracy": (0.811, 0.504), "two_sample_auc": (0.9, 0.505),
    "train_on_fake": (0.983, 0.991), "authenticity": (0.71, 0.65), "fid": (None, None),
}  # fmt: skip


def evaluation(*, conditional: bool = True, calibrated: bool = True, **figures: Any) -> dict[str, Any]:
    """What `evaluate` measures, `figures` instead of what is here."""
    report: dict[str, Any] = {
        f"{name}_sha256": name[0] * 64 for name in ("generator", "dataset", "classifier", "witness")
    }
    report |= {"class_names": [str(digit) for digit in range(10)]}
    report |= {"num_test_images": 10_000, "num_samples": 10_000, "num_seeds": 3, "num_two_sample": 30_000}
    report |= {"num_train_on_fake": 30_000, "memorisation": {"features": {"num_queries": 5000}}, "collapse": None}
    for name, (value, spread, floor) in SCORES.items():
        report |= {name: value, f"{name}_spread": spread, f"{name}_floor": floor}
    for name, (value, floor) in FLOORED.items():
        report |= {name: value, f"{name}_floor": floor}
    report |= {"fcd_over_floor": 1.68, "witness_fcd_over_floor": 1.65, "class_shares": [0.1] * 10}
    for name in ("fcd_per_class", "recall_per_class"):
        report |= {name: [0.5] * 9 + [None], f"{name}_floor": [0.4] * 10}
    report |= {"label_accuracy_per_class": [*[0.995] * 9, 0.98]}
    report["pixels"] = {column: dict.fromkeys(STATISTICS, 0.5) for column in COLUMNS}
    probe = {"discriminator": 0.98, "untrained": 0.95, "pixels": 0.92}
    report["discriminator"] = {
        "num_images": 10_000, "accuracy": 0.75, "roc_auc": 0.8, "calibration_error": 0.02, "brier_score": 0.2,
        "generalization_gap": 0.1, "probes": {"60000": probe, "100": probe},
    }  # fmt: skip
    if not conditional:
        report |= dict.fromkeys(
            ("label_accuracy", "label_accuracy_spread", "label_accuracy_per_class", "train_on_fake")
        )
    if not calibrated:
        report["discriminator"] |= dict.fromkeys(("accuracy", "calibration_error", "brier_score"))
    return report | figures


def write_inputs(folder: Path, *, pixels: np.ndarray | None = None) -> None:
    """What the stages up to `evaluate` leave in `folder`, the current one, and its pictures: of `pixels`, where they
    show images.
    """
    of_images = ("closest_pairs", "two_sample")
    write_dataset(folder, per_class=2)
    write_bytes(workspace.GENERATOR, b"weights")
    write_bytes(workspace.HISTORY, "".join(f"{json.dumps(row)}\n" for row in HISTORY).encode())
    parity = {"latents": 1024, "max_difference": 1.2e-7}
    export = {"opset": 20, "generator_sha256": sha256_of(workspace.GENERATOR), "onnx_sha256": "o" * 64}
    write_json(workspace.EXPORT, export | {"bytes": 3_442_827, "parity": parity})
    grids = [workspace.SAMPLES / f"step-{step:07d}.png" for step in range(0, 1000, 100)]
    grids += [workspace.EVALUATION_FIGURES / f"{name}.png" for name in (*GRIDS, *of_images)]
    small = np.tile(np.arange(56, dtype=np.uint8), (28, 1))
    for path in [*grids, *(workspace.EVALUATION_FIGURES / f"{name}.png" for name in CHARTS if name not in of_images)]:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(small if pixels is None or path not in grids else pixels).save(path)


def params_of(**changes: Any) -> Params:
    """The defaults with other values, by their names with `__` for the dot."""
    return changed(Params(), {name.replace("__", "."): value for name, value in changes.items()})
