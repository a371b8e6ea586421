"""Damage at random places of every kind of file that is read again: what is read all the same has gone unseen."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

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
from dvc_workspace import in_shell, object_of, record
from support import CPU
from tiny_data import files_with_hashes, tiny_arrays, write_files
from tiny_onnx import write_model
from tiny_workspace import new_workspace

DATASET, CLASSIFIER = Path("data/dataset.safetensors"), Path("models/classifier.safetensors")
GENERATOR, ONNX = Path("models/generator.safetensors"), Path("models/generator.onnx")


@dataclass
class Corrupted:
    """What became of one kind of file."""

    kind: str
    damaged: int = 0
    silent: int = 0
    unnamed: int = 0
    """Refused, but without the file's name or a way out."""


@dataclass
class Subject:
    """A file, and how it is read where it is used."""

    path: Path
    read: Callable[[], object]
    named: str = ""
    """In the message, if not the file itself."""

    def try_to_read(self, tally: Corrupted) -> None:
        tally.damaged += 1
        try:
            self.read()
        except BadDataError as error:
            message = str(error)
            tally.unnamed += (self.named or self.path.name) not in message or not any(
                way in message for way in ("run ", "delete ")
            )
        else:
            tally.silent += 1


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """The bytes with one bit flipped, cut short, or with a block of zeros, as disks do."""
    content = bytearray(whole)
    kind, position = rng.choice(["flip", "flip", "cut", "zeros"]), rng.randrange(len(whole))
    if kind == "flip":
        content[position] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del content[position:]
    else:
        content[position : position + 512] = bytes(len(content[position : position + 512]))
    return bytes(content) if content != whole else damaged(whole, rng)


def subjects(folder: Path) -> dict[str, list[Subject]]:
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
    write_model(folder / ONNX)
    read = {
        DATASET: lambda: load_dataset(folder / DATASET, report_path=folder / "reports/validation.json"),
        CLASSIFIER: lambda: load_classifier(folder / CLASSIFIER, device=CPU),
        GENERATOR: lambda: load_weights(folder / GENERATOR, generator, made_by="train"),
        ONNX: lambda: read_model(folder / ONNX),
    }
    arrays = tiny_arrays()
    write_files(folder / "raw", arrays)
    facts = files_with_hashes(folder / "raw", arrays)

    def read_raw() -> object:
        with mock.patch.object(mnist_files.files, "files_of", return_value=facts):
            return mnist_files.read_arrays("mnist", folder / "raw")

    return {
        "checkpoint": [
            Subject(checkpoint, lambda: checkpoints.restore(state)),
        ],
        "dataset.safetensors": [Subject(folder / DATASET, read[DATASET])],
        "weights": [Subject(folder / path, read[path]) for path in (GENERATOR, CLASSIFIER)],
        "generator.onnx": [Subject(folder / ONNX, read[ONNX])],
        "IDX file": [Subject(folder / "raw" / file.name, read_raw) for file in facts],
        "object of DVC's cache": [Subject(folder / path, each) for path, each in read.items()],
    }


def corrupt_files(kind: str, chosen: list[Subject], count: int, rng: random.Random) -> Corrupted:
    """Damage the files of a kind in turn."""
    tally = Corrupted(kind)
    for subject in chosen:
        subject.read()  # whole, it is read
    for index in range(count):
        subject = chosen[index % len(chosen)]
        whole = subject.path.read_bytes()
        subject.path.write_bytes(damaged(whole, rng))
        subject.try_to_read(tally)
        subject.path.write_bytes(whole)
    return tally


def corrupt_objects(kind: str, chosen: list[Subject], count: int, rng: random.Random, *, folder: Path) -> Corrupted:
    """Damage the cached objects of all files at once, let DVC check them out, and read what it restored."""
    tally = Corrupted(kind)
    record(folder, {"make": [subject.path.relative_to(folder).as_posix() for subject in chosen]})
    objects = [object_of(folder, subject.path.relative_to(folder).as_posix()) for subject in chosen]
    whole = [path.read_bytes() for path in objects]
    while tally.damaged < count:
        for path, content, subject in zip(objects, whole, chosen, strict=True):
            path.chmod(0o644)
            path.write_bytes(damaged(content, rng))
            path.chmod(0o444)
            subject.path.unlink()
        ended = in_shell(folder, "dvc checkout")
        assert ended.exit_code == 0, ended.err
        for subject in chosen:
            subject.try_to_read(tally)
    return tally


def corrupt_all(folder: Path, *, count: int, seed: int = 0) -> Iterator[Corrupted]:
    """Damage every kind of file `count` times."""
    rng, kinds = random.Random(seed), subjects(folder)
    for kind, chosen in kinds.items():
        if "DVC" in kind:
            yield corrupt_objects(kind, chosen, count, rng, folder=folder)
        else:
            yield corrupt_files(kind, chosen, count, rng)
