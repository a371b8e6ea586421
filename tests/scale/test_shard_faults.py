"""Sets of shards that were interrupted, damaged, mixed up or asked for wrongly."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from damage import flipped
from dcgan.scale.shards import workers
from small_shards import SMALL, contents, manifest
from tiny_onnx import WEIGHT, build_model, write_model


@pytest.fixture
def whole(shards, tmp_path) -> dict[str, bytes]:
    """What a set holds that was made in one go."""
    assert shards(tmp_path / "whole").exit_code == 0
    return contents(tmp_path / "whole")


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "set"


# Missing and damaged shards


def test_a_second_call_has_nothing_to_do_and_writes_nothing(shards, folder):
    shards(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    told = shards(folder)
    assert (told.exit_code, told.err) == (0, "")
    assert "5 of 5 npy shards are there, nothing to do" in told.out
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_only_shards_that_are_missing_or_cut_off_are_made_again(shards, folder, whole):
    shards(folder)
    (folder / "digits-000001.npy").unlink()
    os.truncate(folder / "digits-000003.npy", 100)
    assert "2 made now" in shards(folder).out
    assert contents(folder) == whole


def test_a_flipped_bit_is_found_by_verify(shards, folder, whole):
    shards(folder)
    path = folder / "digits-000002.npy"
    path.write_bytes(flipped(path.read_bytes(), -8))
    assert "nothing to do" in shards(folder).out
    assert "1 made now" in shards(folder, "--verify").out
    assert contents(folder) == whole


def test_what_verify_found_stays_found_if_it_is_interrupted(shards, folder, whole, monkeypatch):
    shards(folder)
    path = folder / "digits-000002.npy"
    path.write_bytes(flipped(path.read_bytes(), -8))
    with monkeypatch.context() as patched:
        patched.setattr(workers, "draw_shard", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM) or iter(()))
        patched.setattr(workers, "write_record", lambda *_: None)
        patched.setitem(workers.ENCODERS, "npy", lambda *_: None)
        shards(folder, "--verify")
    assert "1 made now" in shards(folder).out
    assert contents(folder) == whole


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"plan": 1}', b"\xff"])
def test_a_damaged_record_counts_as_none(shards, folder, whole, content):
    shards(folder, "--only", "0/2")
    (folder / ".shards/000002.json").write_bytes(content)
    assert "3 made now" in shards(folder).out
    assert contents(folder) == whole


def test_a_shard_without_its_record_is_made_again(shards, folder, whole):
    """As a kill between the two leaves it."""
    shards(folder, "--only", "0/2")
    (folder / ".shards/000002.json").unlink()
    assert "3 made now" in shards(folder).out
    assert contents(folder) == whole


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b'{"shards": 3}'])
def test_a_damaged_manifest_is_said_to_be_that(shards, folder, whole, content):
    shards(folder)
    (folder / "manifest.json").write_bytes(content)
    told = shards(folder)
    assert (told.exit_code, told.err.count("\n")) == (65, 1)
    assert f"{folder}/manifest.json: damaged; delete it" in told.err
    (folder / "manifest.json").unlink()
    assert "5 made now" in shards(folder).out
    assert contents(folder) == whole


@pytest.mark.parametrize("entries", [3, [{}], [[]]])
def test_a_manifest_whose_shards_are_damaged_is_said_to_be_that(shards, folder, entries):
    shards(folder)
    (folder / "manifest.json").write_text(json.dumps(manifest(folder) | {"shards": entries}))
    told = shards(folder)
    assert (told.exit_code, told.err.count("\n")) == (65, 1)


# Interrupted


def killing(number: int) -> object:
    """Makes shards as always, but a signal comes when the third is begun."""
    genuine, begun = workers.make_shard, []

    def make(*args: object, **kwargs: object) -> object:
        begun.append(args)
        if len(begun) == 3:
            os.kill(os.getpid(), number)
        return genuine(*args, **kwargs)

    return make


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_one_line_and_the_same_command_goes_on(shards, folder, whole, monkeypatch, number):
    with monkeypatch.context() as patched:
        patched.setattr(workers, "make_shard", killing(number))
        told = shards(folder, "--workers", 1, "--count", 95_000, "--shard-size", 5_000)
    assert (told.exit_code, told.out) == (128 + number, "")
    assert told.err == f"error: {folder}: stopped; run the same command again to go on\n"
    assert not list(folder.rglob("*.tmp"))
    made = len(list(folder.glob("*.npy")))
    assert 0 < made < 19
    told = shards(folder, "--count", 95_000, "--shard-size", 5_000)
    assert f"19 of 19 npy shards are there, {19 - made} made now" in told.out


# Other options, other models


@pytest.mark.parametrize("half", [(), ("--only", "0/2")])
@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--seed", 4], "seed (3, now 4)"),
        (["--count", 100], "count (95, now 100)"),
        (["--format", "webdataset"], "format (npy, now webdataset)"),
        (["--digit", 3], "digits (0 1 2 3 4 5 6 7 8 9, now 3)"),
        (["--truncation", 0.5, "--shard-size", 10], "shard_size (20, now 10); truncation (1.0, now 0.5)"),
    ],
)
def test_shards_with_other_options_are_refused_by_name(shards, folder, half, options, named):
    shards(folder, *half)
    before = contents(folder)
    told = shards(folder, *options)
    assert (told.exit_code, told.err.count("\n")) == (64, 1)
    assert f"{folder}: has shards with other options: {named}; give the same options, or another folder" in told.err
    assert contents(folder) == before


@pytest.mark.parametrize("half", [(), ("--only", "0/2")])
def test_a_model_that_changed_is_refused_with_both_digests(dcgan, shards, folder, model, half):
    shards(folder, *half)
    plan = json.loads((folder / (".shards/plan.json" if half else "manifest.json")).read_text())
    other = write_model(model.with_name("other.onnx"), build_model(weight=WEIGHT / 2))
    before = contents(folder)
    told = dcgan("generate", "--shards", folder, "--model", other, *SMALL, "--format", "npy")
    assert (told.exit_code, told.err.count("\n")) == (65, 1)
    assert plan["model_sha256"] in told.err
    assert len(set(re.findall(r"\b[0-9a-f]{64}\b", told.err))) == 2
    assert contents(folder) == before


def test_shards_of_another_device_are_refused(shards, folder):
    """What a GPU draws differs by rounding."""
    shards(folder)
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"CPU"', '"CUDA"'))
    told = shards(folder)
    assert told.exit_code == 64
    assert "device (CUDA, now CPU)" in told.err


def test_a_record_of_another_plan_counts_as_none(shards, folder, whole):
    """Two commands with different options that start at the same moment on an empty folder."""
    shards(folder, "--only", "0/2", "--seed", 4)
    (folder / ".shards/plan.json").unlink()
    assert "5 made now" in shards(folder).out
    assert contents(folder) == whole


# Two at a time


HOLD = """
import sys, time
from pathlib import Path
from dcgan.scale.shards.storage import LocalFolder
with LocalFolder(Path(sys.argv[1])).locked(".shards", sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("held", "part", "exit_code"),
    [("0-of-1.lock", "0/1", 75), ("0-of-1.lock", "1/2", 75), ("1-of-2.lock", "0/1", 75), ("1-of-2.lock", "1/2", 75),
     ("1-of-2.lock", "0/2", 0)],
)  # fmt: skip
def test_two_drivers_on_one_folder_are_refused_but_parts_share_it(shards, folder, held, part, exit_code):
    with subprocess.Popen([sys.executable, "-c", HOLD, folder, held], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        told = shards(folder, "--only", part)
        holder.kill()
    assert told.exit_code == exit_code, told.err
    if exit_code:
        assert told.err.count("\n") == 1
        assert f"{folder}/.shards/{held}: locked by pid {holder.pid}; wait until it ends, or stop it" in told.err
        assert not list(folder.glob("*.npy"))


# What cannot be written


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 12 MiB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", disk]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting a file system needs root")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.parametrize("form", ["parquet", "webdataset", "npy"])
def test_a_disk_that_fills_in_the_middle_of_a_shard_leaves_whole_ones(shards, small_disk, tmp_path, form):
    options = ("--count", 3000, "--shard-size", 500, "--workers", 1, "--format", form)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(11_000_000))
    told = shards(small_disk / "set", *options)
    assert told.exit_code == 74, told.err
    (line,) = [line for line in told.err.splitlines() if line.startswith("error: ")]
    assert "no space left on the device; free some and run again" in line
    assert f"{small_disk}/set/" in line
    assert not list(small_disk.rglob("*.tmp"))
    filler.unlink()
    assert shards(small_disk / "set", *options).exit_code == 0
    shards(tmp_path / "elsewhere", *options)
    assert contents(small_disk / "set") == contents(tmp_path / "elsewhere")


def test_a_failure_of_the_disk_that_nobody_told_is_seen(shards, folder, monkeypatch):
    monkeypatch.setattr("dcgan.scale.shards.storage.sha256_of", lambda _: "0" * 64)
    told = shards(folder)
    assert (told.exit_code, told.err.count("\n")) == (74, 1)
    assert "reads back differently from what was written" in told.err
    assert list(folder.glob("*")) == [folder / ".shards"]


# Wrong options


@pytest.fixture
def here(model, monkeypatch):
    """The current folder has the model, and nothing else."""
    monkeypatch.chdir(model.parent)


@pytest.mark.parametrize(
    ("options", "exit_code", "named"),
    [
        (["--shards", "set", "--count", 0], 64, "count: 0"),
        (["--shards", "set", "--count", 10**10 + 1], 64, "count: 10000000001"),
        (["--shards", "set", "--shard-size", 0], 64, "shard-size: 0"),
        (["--shards", "set", "--count", 10**9, "--shard-size", 100], 64, "100 makes 10,000,000 shards; give 5,000"),
        (["--shards", "set", "--format", "zip"], 64, "format: 'zip'"),
        (["--shards", "set", "--digit", 12], 64, "digit: 12"),
        (["--shards", "set", "--seed", -1], 64, "seed: -1"),
        (["--shards", "set", "--truncation", 2], 64, "truncation: 2"),
        (["--shards", "set", "--workers", 0], 64, "--workers"),
        (["--shards", "set", "--device", "tpu"], 64, "--device"),
        (["--shards", "set", "--only", "2/2"], 64, "--only: 2/2"),
        (["--shards", "set", "--only", "3"], 64, "--only: 3"),
        (["--shards", "set", "--jobs", "3"], 64, "JOB_COMPLETION_INDEX, which a Kubernetes"),
        (["--shards", "set", "--jobs", "3", "--only", "0/3"], 64, "exclude each other"),
        (["--shards", "gs://bucket/set"], 64, "gs://bucket/set"),
        (["--shards", "s3:///set"], 64, "has no bucket"),
        (["--shards", "set", "--out", "a.png"], 64, "--out FILE"),
        (["--out", "a.png", "--only", "0/2"], 64, "--only: goes with --shards"),
        (["--out", "a.png", "--format", "npy"], 64, "--format: goes with --shards"),
        (["--shards", "set", "--model", "absent.onnx"], 65, "absent.onnx"),
        (["--shards", "generator.onnx"], 73, "generator.onnx"),
        (["--shards", "generator.onnx/set"], 73, "generator.onnx"),
        (["--shards", "set", "--address", "ray://127.0.0.1:1"], 64, "ray://127.0.0.1:1"),
        (["--shards", "set", "--address", "127.0.0.1:1"], 69, "Ray at 127.0.0.1:1 cannot be reached"),
        (["--shards", "set", "--device", "cuda"], 69, "CUDA was asked for"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line_and_leave_nothing(dcgan, here, options, exit_code, named):
    given = [] if "--model" in options else ["--model", "generator.onnx"]
    told = dcgan("generate", *given, *options)
    assert (told.exit_code, told.err.count("\n")) == (exit_code, 1), told.err
    assert told.err.startswith("error: ")
    assert named in told.err
    assert [path.name for path in Path().iterdir()] == ["generator.onnx"]


def test_the_manifest_is_written_by_the_next_call_where_the_last_was_killed_before_it(shards, folder, whole):
    for part in ("0/2", "1/2"):
        shards(folder, "--only", part)
    expected = manifest(folder)
    (folder / "manifest.json").unlink()
    shards(folder, "--only", "0/2")
    assert not (folder / "manifest.json").exists()
    shards(folder, "--only", "1/2")
    assert manifest(folder) == expected
    assert contents(folder) == whole
