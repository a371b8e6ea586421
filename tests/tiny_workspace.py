"""A workspace whose data set is learnt in seconds: params.yaml, the validated data set, and no history."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import yaml

from absent import hiding
from dcgan.checkpoints.weights import save_weights
from dcgan.classifier.network import build_classifier
from dcgan.config.schema import Params
from dcgan.data.dataset_file import save_dataset
from dcgan.system.files import write_json
from support import ROOT
from tiny_data import tiny_arrays

TINY = {
    "data": {"name": "digits"},
    "model": {"latent_dim": 16, "generator_channels": 8, "discriminator_channels": 8},
    "train": {"epochs": 2, "batch_size": 16, "checkpoint_every": 4, "report_every": 2, "threads": 1},
    "classifier": {"epochs": 1, "batch_size": 10},
    "evaluate": {
        "num_samples": 100,
        "num_seeds": 2,
        "num_train_on_fake": 100,
        "num_neighbour_queries": 50,
        "num_two_sample": 100,
    },
    "gates": {
        "fcd_over_floor": 3.5,
        "witness_fcd_over_floor": 3.5,
        "two_sample_accuracy": 0.97,
        "label_accuracy": 0.98,
        "precision_over_floor": 0.8,
        "recall_over_floor": 0.8,
        "min_class_share": 0.07,
    },
    "tracking": {"experiment": "tiny", "registered_model": "tiny-generator"},
}
LONG = {
    "epochs": 500,
    "batch_size": 16,
    "checkpoint_every": 10,
    "report_every": 10,
    "evaluate_every": 100,
    "max_steps": 5000,
}
"""Of `train`: a training that is still at work when a test stops it."""


def write_params(folder: Path, **sections: dict) -> None:
    """Write params.yaml with every parameter: the defaults, under tiny values, under those of `sections`."""
    content = dataclasses.asdict(Params())
    for changes in (TINY, sections):
        for name, values in changes.items():
            content[name] = content[name] | values
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def write_dataset(folder: Path, *, per_class: int = 20) -> None:
    """Write a made-up data set of 10 x `per_class` images in each split, as if `validate` had let it through."""
    arrays = tiny_arrays(per_class=per_class)
    sha256 = save_dataset(folder / "data/dataset.safetensors", arrays, name="digits")
    splits = {split: _summary(arrays[f"{split}_images"], arrays[f"{split}_labels"]) for split in ("train", "test")}
    expectations = [{"description": "labels are 0 to 9", "success": True}]
    report = {"dataset": "digits", "success": True, "dataset_sha256": sha256, "splits": splits}
    write_json(folder / "reports/validation.json", report | {"expectations": expectations})


def _summary(images: np.ndarray, labels: np.ndarray) -> dict:
    counts = np.bincount(labels, minlength=10).tolist()
    return {"images": len(labels), "mean": images.mean() / 255, "std": images.std() / 255, "class_counts": counts}


def new_workspace(folder: Path, **sections: dict) -> Path:
    """A folder in which the stages after `validate` can run; its classifiers have learnt nothing yet."""
    write_params(folder, **sections)
    write_dataset(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = {name: build_classifier(name) for name in ("classifier", "witness")}
        save_weights(folder / "models", **networks)
    return folder


def stage_command(stage: str, *, absent: Sequence[str] = ()) -> list[str]:
    """The command that runs a stage script as DVC does, on a machine where some packages are absent."""
    script = f"""{hiding(absent)}
import runpy
sys.argv = [{stage!r}]
sys.path.insert(0, {str(ROOT / "pipeline")!r})
runpy.run_path({str(ROOT / "pipeline" / f"{stage}.py")!r}, run_name="__main__")
"""
    return [sys.executable, "-c", script]


def run_stage(stage: str, folder: Path, *, absent: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run a stage script in `folder` to its end."""
    command, environment = stage_command(stage, absent=absent), stage_environment(folder)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def stage_environment(folder: Path) -> dict[str, str]:
    """The environment of a stage whose MLflow store is in `folder`, whatever the tester's own is."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return inherited | {"DVC_ROOT": str(folder), "CUDA_VISIBLE_DEVICES": ""}


def weights_in(folder: Path) -> dict[str, bytes]:
    """The bytes of what training leaves in models/, by file name."""
    return {path.name: path.read_bytes() for path in sorted((folder / "models").glob("*.safetensors"))}
