"""Shards hold what the documents say, in each format, whoever makes them."""

import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from absent import hiding
from dcgan.inference.generator import Generator
from dcgan.scale.shards import drawing
from dcgan.scale.shards.formats import encode_pngs, tar_members
from dcgan.scale.shards.plan import new_plan
from small_shards import SMALL, contents, manifest
from tiny_onnx import LATENT_DIM, build_model, write_model

FORMATS = ("parquet", "webdataset", "npy")
SUFFIX = {"parquet": "parquet", "webdataset": "tar", "npy": "npy"}


def read(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels and labels of a shard, by a reader that is not ours."""
    if path.suffix == ".npy":
        records = np.load(path, mmap_mode="r")
        return records["image"], records["label"] if "label" in records.dtype.names else None
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        pixels = np.frombuffer(b"".join(table["image"].to_pylist()), np.uint8).reshape(-1, 28, 28)
        return pixels, table["label"].to_numpy() if "label" in table.column_names else None
    with tarfile.open(path) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}
    pixels = [np.asarray(Image.open(io.BytesIO(each))) for name, each in files.items() if name.endswith(".png")]
    labels = [int(each) for name, each in files.items() if name.endswith(".cls")]
    return np.stack(pixels), np.array(labels) if labels else None


def expected(model: Path, index: int, count: int, labels: np.ndarray | None, *, truncation: float = 1.0) -> np.ndarray:
    """What docs/scale.md says a shard of seed 3 holds."""
    stream = np.random.SeedSequence(3, spawn_key=(index,))
    latents = np.random.Generator(np.random.Philox(stream)).standard_normal((count, LATENT_DIM), dtype=np.float32)
    return Generator.load(model).draw(latents * np.float32(truncation), labels)


@pytest.mark.parametrize("form", FORMATS)
def test_a_shard_holds_the_digits_of_its_stream_and_labels_go_on_from_shard_to_shard(
    shards, model, tmp_path, monkeypatch, form
):
    monkeypatch.setattr(drawing, "BLOCK", 8)
    monkeypatch.setattr(drawing, "STEP", 3)
    told = shards(tmp_path / "set", "--format", form, "--digit", 7, "--digit", 1, "--digit", 4, "--truncation", 0.5)
    assert (told.exit_code, told.err) == (0, "")
    assert f"5 of 5 {form} shards are there, 5 made now at " in told.out
    assert str(model) in told.out
    paths = sorted((tmp_path / "set").glob(f"*.{SUFFIX[form]}"))
    assert [path.stem for path in paths] == [f"digits-{index:06d}" for index in range(5)]
    for index, path in enumerate(paths):
        pixels, labels = read(path)
        count = 15 if index == 4 else 20
        assert labels.tolist() == [[7, 1, 4][number % 3] for number in range(20 * index, 20 * index + count)]
        np.testing.assert_array_equal(pixels, expected(model, index, count, labels, truncation=0.5))


@pytest.mark.parametrize("form", FORMATS)
def test_an_unconditional_generator_has_no_labels(dcgan, tmp_path, form):
    model = write_model(tmp_path / "plain.onnx", build_model(conditional=False))
    told = dcgan("generate", "--model", model, "--shards", tmp_path / "set", *SMALL, "--format", form)
    assert told.exit_code == 0, told.err
    pixels, labels = read(tmp_path / f"set/digits-000001.{SUFFIX[form]}")
    assert labels is None
    np.testing.assert_array_equal(pixels, expected(model, 1, 20, None))
    assert manifest(tmp_path / "set")["digits"] is None


def test_uniform_latents_are_uniform(dcgan, tmp_path):
    model = write_model(tmp_path / "uniform.onnx", build_model(latent_distribution="uniform"))
    dcgan("generate", "--model", model, "--shards", tmp_path / "set", *SMALL, "--format", "npy")
    pixels, labels = read(tmp_path / "set/digits-000001.npy")
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(3, spawn_key=(1,))))
    latents = 2 * rng.random((20, LATENT_DIM), dtype=np.float32) - 1
    np.testing.assert_array_equal(pixels, Generator.load(model).draw(latents, labels))


def test_the_manifest_says_what_the_set_is(shards, model, tmp_path):
    shards(tmp_path / "set")
    found = manifest(tmp_path / "set")
    entries = found.pop("shards")
    info = Generator.load(model).info
    assert found == {
        "count": 95, "shard_size": 20, "format": "npy", "seed": 3, "digits": list(range(10)), "truncation": 1.0,
        "device": "CPU", "model_sha256": info.sha256, "bytes": sum(entry["bytes"] for entry in entries),
    }  # fmt: skip
    for entry in entries:
        content = (tmp_path / "set" / entry["name"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert [entry["count"] for entry in entries] == [20, 20, 20, 20, 15]
    assert contents(tmp_path / "set").keys() == {"manifest.json", *(entry["name"] for entry in entries)}


@pytest.mark.parametrize("form", FORMATS)
def test_workers_parts_and_order_change_no_byte(shards, tmp_path, monkeypatch, form):
    assert shards(tmp_path / "one", "--format", form, "--workers", 1).exit_code == 0
    assert shards(tmp_path / "three", "--format", form, "--workers", 3).exit_code == 0
    told = shards(tmp_path / "parts", "--format", form, "--only", "1/2")
    assert "2 of 5" in told.out
    assert "still missing: 3" in told.out
    assert not (tmp_path / "parts/manifest.json").exists()
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "0")
    assert shards(tmp_path / "parts", "--format", form, "--jobs", 2).exit_code == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "three") == contents(tmp_path / "parts")


def test_another_seed_gives_other_digits(shards, tmp_path):
    shards(tmp_path / "three")
    shards(tmp_path / "four", "--seed", 4)
    names = [f"{folder}/digits-00000{index}.npy" for folder in ("three", "four") for index in (0, 1)]
    assert len({(tmp_path / name).read_bytes() for name in names}) == 4


def test_the_longest_blocks_and_steps_are_drawn_as_one_call_draws_them(dcgan, model, tmp_path):
    count = drawing.BLOCK + drawing.STEP + 7
    dcgan("generate", "--model", model, "--shards", tmp_path / "set", "--seed", 3, "--count", count, "--shard-size",
          count, "--format", "npy")  # fmt: skip
    pixels, labels = read(tmp_path / "set/digits-000000.npy")
    np.testing.assert_array_equal(pixels, expected(model, 0, count, labels))


@pytest.mark.parametrize(("count", "shard_size"), [(1, 10_000), (10**8, 10_000), (10**8 + 1, 20_000), (10**9, 100_000)])
def test_ten_thousand_shards_suffice(model, count, shard_size):
    options = {"format_name": "npy", "seed": 0, "digits": None, "truncation": 1.0, "device": "CPU"}
    plan = new_plan(Generator.load(model).info, count=count, shard_size=None, **options)
    assert plan.shard_size == shard_size
    assert plan.num_shards <= 10_000
    assert sum(len(plan.numbers(index)) for index in range(plan.num_shards)) == count


# The formats


def test_tar_members_are_those_of_tarfile():
    made = [b"", b"x", b"y" * 512, b"z" * 513]
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number, content in enumerate(made, start=998):
            member = tarfile.TarInfo(f"{number:012d}.cls")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    parts = [tar_members(number, ".cls", [content]) for number, content in enumerate(made, start=998)]
    joined = b"".join(part.tobytes() for part in parts)
    assert joined == expected.getvalue()[: len(joined)]
    together = tar_members(998, ".cls", made[1:3]).tobytes()
    assert together == parts[0].tobytes()[:124] + together[124:]
    assert len(together) == 4 * 512


def test_a_tar_archive_ends_as_tarfile_ends_it(shards, tmp_path):
    shards(tmp_path / "set", "--format", "webdataset")
    content = (tmp_path / "set/digits-000000.tar").read_bytes()
    assert len(content) % tarfile.RECORDSIZE == 0
    assert content[-1024:] == bytes(1024)


def test_pngs_are_what_their_pixels_are():
    pixels = np.random.default_rng(0).integers(256, size=(3, 28, 28), dtype=np.uint8)
    for png, image in zip(encode_pngs(pixels), pixels, strict=True):
        opened = Image.open(io.BytesIO(png))
        opened.verify()
        assert opened.mode == "L"
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), image)


# Packages


PRODUCTION_LACKS = ["ray", "optuna", "pyarrow", "tqdm", "filelock", "torch", "scipy", "mlflow", "yaml", "onnx"]


def run_without(packages: list[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    script = f"{hiding(packages)}\nsys.argv = {['dcgan', 'generate', *map(str, arguments)]!r}\n"
    command = [sys.executable, "-c", f"{script}from dcgan.cli import main; main()"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_production_makes_the_same_bytes(shards, model, tmp_path):
    shards(tmp_path / "here")
    options = ["--model", model, *SMALL, "--format", "npy", "--shards", tmp_path / "there"]
    done = run_without(PRODUCTION_LACKS, *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--format", "parquet"], "Parquet needs pyarrow"),
        (["--shards", "s3://bucket/digits", "--format", "npy"], "S3 needs pyarrow"),
        (["--address", "local"], "--address needs ray"),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_extra(model, tmp_path, options, named):
    done = run_without(PRODUCTION_LACKS, "--model", model, *SMALL, "--shards", tmp_path / "set", *options)
    assert (done.returncode, done.stderr.count("\n")) == (69, 1), done.stderr
    assert f"error: {named}; run `pip install '.[scale]'` in the repository" in done.stderr
    assert not list(tmp_path.rglob("*.parquet"))


def test_neither_pytorch_nor_ray_is_imported(model, tmp_path):
    among = ["torch", "ray", "scipy", "mlflow", "optuna"]
    code = f"import atexit, sys; atexit.register(lambda: print([m for m in {among} if m in sys.modules]))"
    command = ["dcgan", "generate", "--model", model, "--shards", tmp_path / "set", *SMALL]
    script = f"{code}\nsys.argv = {list(map(str, command))!r}\nfrom dcgan.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


PEAK = """
import pathlib, re, sys
from dcgan.cli import main
try:
    main()
finally:
    print(re.search(r"VmHWM:\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_memory_does_not_grow_with_the_shard(model, tmp_path, form):
    """The pixels of this one are 314 MB."""
    options = ["--model", model, "--count", 400_000, "--shard-size", 400_000, "--format", form, "--workers", 1]
    script = PEAK.replace(
        "try:", f"sys.argv = {['dcgan', 'generate', '--shards', str(tmp_path), *map(str, options)]}\ntry:"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) < 300 * 1024
