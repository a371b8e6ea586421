"""Damage at random places of every kind of file that is read again: what is read all the same has gone unseen."""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from unittest import mock

import numpy as np

from damage import flipped
from dcgan.checkpoints.folder import CheckpointFolder
from dcgan.checkpoints.weights import load_weights, save_weights
from dcgan.classifier.network import load_classifier
from dcgan.config.params_file import load_params
from dcgan.data import files as mnist_files
from dcgan.data.dataset_file import load_dataset
from dcgan.gan.networks import build_generator
from dcgan.gan.state import build_state
from dcgan.inference.model_file import read_model
from dcgan.system.errors import BadDataError
from dvc_workspace import object_of, record, type_in, write_object
from support import CPU
from tiny_data import files_with_hashes, tiny_arrays, write_files
from tiny_onnx import write_model
from tiny_workspace import new_workspace

CLASSIFIER, WITNESS, GENERATOR = (f"models/{name}.safetensors" for name in ("classifier", "witness", "generator"))

Reads = dict[Path, Callable[[], object]]
"""File → how it is read where it is used."""


@dataclass
class Corrupted:
    """What became of one kind of file."""

    kind: str
    damaged: int = 0
    silent: int = 0
    unnamed: int = 0
    """Refused, but without the file's name or a way out."""

    @property
    def is_whole(self) -> bool:
        return not self.silent and not self.unnamed

    def try_to_read(self, path: Path, read: Callable[[], object], whole: object = None) -> None:
        self.damaged += 1
        try:
            found = read()
        except BadDataError as error:
            message = str(error)
            self.unnamed += path.name not in message or not re.search("run |delete |choose another", message)
        else:
            self.silent += not _has_same_arrays(found, whole)


def _has_same_arrays(found: object, whole: object) -> bool:
    """Whether nothing was harmed, as by a flipped bit of the time that gzip keeps beside the content."""
    if not (isinstance(found, dict) and isinstance(whole, dict)):
        return False
    return all(np.array_equal(found[name], values) for name, values in whole.items())


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """The bytes with one bit flipped, cut short, or with a block of zeros, as disks do."""
    kind, position = rng.choice(["flip", "flip", "cut", "zeros"]), rng.randrange(len(whole))
    if kind == "flip":
        return flipped(whole, 8 * position + rng.randrange(8))
    if kind == "cut":
        return whole[:position]
    zeros = bytes(len(whole[position : position + 512]))
    content = whole[:position] + zeros + whole[position + 512 :]
    return content if content != whole else damaged(whole, rng)


def readers(folder: Path) -> dict[str, Reads]:
    """Kind → the files of that kind in a small workspace, which this makes."""
    new_workspace(folder)
    params = load_params(folder / "params.yaml")
    state = build_state(params.gan, device=CPU)
    state.step = 4
    checkpoints = CheckpointFolder(folder / ".checkpoints", {"stage": "train"})
    checkpoints.save(state)
    (checkpoint,) = checkpoints.path.glob("*.safetensors")
    save_weights(folder / "models", generator=state.generator)
    generator = build_generator(params.model)
    dataset, onnx = folder / "data/dataset.safetensors", write_model(folder / "models/generator.onnx")
    weights = {
        folder / GENERATOR: lambda: load_weights(folder / GENERATOR, generator, made_by="train"),
        folder / CLASSIFIER: lambda: load_classifier(folder / CLASSIFIER, device=CPU),
        folder / WITNESS: lambda: load_classifier(folder / WITNESS, device=CPU, name="witness"),
    }
    read_dataset = {dataset: lambda: load_dataset(dataset, report_path=folder / "reports/validation.json")}
    read_onnx = {onnx: lambda: read_model(onnx)}
    arrays = tiny_arrays()
    write_files(folder / "raw", arrays)
    facts = files_with_hashes(folder / "raw", arrays)

    def read_raw() -> object:
        with mock.patch.object(mnist_files.files, "files_of", return_value=facts):
            return mnist_files.read_arrays("mnist", folder / "raw")

    return {
        "checkpoint": {checkpoint: lambda: checkpoints.restore(state)},
        "dataset.safetensors": read_dataset,
        "weights": weights,
        "generator.onnx": read_onnx,
        "IDX file": {folder / "raw" / file.name: read_raw for file in facts},
        "object of DVC's cache": read_dataset | weights | read_onnx,
    }


def corrupt_files(kind: str, reads: Reads, count: int, rng: random.Random) -> Corrupted:
    """Damage the files of a kind in turn."""
    tally = Corrupted(kind)
    contents = {path: read() for path, read in reads.items()}
    for path, read in islice(cycle(reads.items()), count):
        whole = path.read_bytes()
        path.write_bytes(damaged(whole, rng))
        tally.try_to_read(path, read, contents[path])
        path.write_bytes(whole)
    return tally


def corrupt_objects(kind: str, reads: Reads, count: int, rng: random.Random, *, folder: Path) -> Corrupted:
    """Damage the cached objects of all files at once, let DVC check them out, and read what it restored."""
    tally = Corrupted(kind)
    outs = [path.relative_to(folder).as_posix() for path in reads]
    record(folder, {"make": outs})
    objects = {path: path.read_bytes() for path in (object_of(folder, out) for out in outs)}
    while tally.damaged < count:
        for path, whole in objects.items():
            write_object(path, damaged(whole, rng))
        for path in reads:
            path.unlink()
        type_in(folder, "dvc checkout")
        for path, read in reads.items():
            tally.try_to_read(path, read)
    return tally


def corrupt_all(folder: Path, *, count: int, seed: int = 0) -> Iterator[Corrupted]:
    """Damage every kind of file `count` times."""
    rng = random.Random(seed)
    for kind, reads in readers(folder).items():
        if "DVC" in kind:
            yield corrupt_objects(kind, reads, count, rng, folder=folder)
        else:
            yield corrupt_files(kind, reads, count, rng)
