"""Shards on a server that speaks S3's protocol: moto's, on this machine."""

from collections.abc import Iterator

import pytest
import requests
from pyarrow import fs

from dcgan.scale.shards import s3
from s3_server import LOGIN, s3_server
from small_shards import contents

ADDRESS = "s3://digits/sets/one"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Its address."""
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(server, monkeypatch) -> Iterator[fs.S3FileSystem]:
    """A bucket `digits`, empty."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    for name, value in LOGIN.items():
        monkeypatch.setenv(name, value)
    host = server.removeprefix("http://")
    options = {"allow_bucket_creation": True, "allow_bucket_deletion": True}
    files = fs.S3FileSystem(endpoint_override=host, scheme="http", **options)
    files.create_dir("digits")
    yield files
    files.delete_dir("digits")


def on_s3(files: fs.S3FileSystem) -> dict[str, bytes]:
    infos = files.get_file_info(fs.FileSelector("digits/sets/one", recursive=True))
    paths = [info.path for info in infos if info.is_file]
    return {path.removeprefix("digits/sets/one/"): files.open_input_stream(path).read() for path in paths}


@pytest.mark.parametrize("form", ["parquet", "webdataset", "npy"])
def test_s3_holds_the_bytes_of_a_folder(shards, bucket, tmp_path, form):
    told = shards(f"{ADDRESS}/", "--format", form)
    assert (told.exit_code, told.err) == (0, "")
    assert shards(tmp_path / "set", "--format", form).exit_code == 0
    assert on_s3(bucket) == contents(tmp_path / "set")
    assert "nothing to do" in shards(ADDRESS, "--format", form).out


def test_parts_share_an_address_and_damage_is_made_good(shards, bucket, tmp_path):
    shards(tmp_path / "set")
    for part in ("1/2", "0/2"):
        assert shards(ADDRESS, "--only", part).exit_code == 0
    assert on_s3(bucket) == contents(tmp_path / "set")
    bucket.delete_file("digits/sets/one/digits-000001.npy")
    with bucket.open_output_stream("digits/sets/one/digits-000002.npy") as file:
        file.write(b"cut off")
    assert "2 made now" in shards(ADDRESS).out
    with bucket.open_output_stream("digits/sets/one/digits-000004.npy") as file:
        file.write(bytes(len(contents(tmp_path / "set")["digits-000004.npy"])))
    assert "1 made now" in shards(ADDRESS, "--verify").out
    assert on_s3(bucket) == contents(tmp_path / "set")


def test_other_options_are_refused_there_too(shards, bucket):
    shards(ADDRESS, "--only", "0/2")
    told = shards(ADDRESS, "--seed", 5)
    assert (told.exit_code, told.err.count("\n")) == (64, 1)
    assert f"{ADDRESS}: has shards with other options: seed (3, now 5)" in told.err


def test_a_missing_bucket_is_73(shards, bucket):
    told = shards("s3://elsewhere/set")
    assert (told.exit_code, told.err.count("\n")) == (73, 1), told.err
    assert "s3://elsewhere/set/.shards/plan.json: there is no such bucket; create it" in told.err


def test_a_server_that_does_not_answer_is_69(shards, bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    told = shards(ADDRESS)
    assert (told.exit_code, told.err.count("\n")) == (69, 1), told.err
    assert f"{ADDRESS}/.shards/plan.json: cannot be reached; check AWS_ENDPOINT_URL and the network" in told.err


def test_credentials_that_the_server_does_not_know_are_69(shards, bucket, server):
    def begin_to_check(actions: str) -> None:
        requests.post(f"{server}/moto-api/reset-auth", data=actions, timeout=10).raise_for_status()

    begin_to_check("0")
    try:
        told = shards(ADDRESS)
    finally:
        begin_to_check("inf")
    assert (told.exit_code, told.err.count("\n")) == (69, 1), told.err
    assert f"{ADDRESS}" in told.err
    assert "access is refused; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in told.err


@pytest.mark.parametrize(
    ("text", "exit_code", "named"),
    [
        ("AWS Error ACCESS_DENIED during PutObject operation: Access Denied", 69, "access is refused"),
        ("AWS Error INVALID_ACCESS_KEY_ID during ListObjectsV2 operation: no", 69, "set AWS_ACCESS_KEY_ID"),
        ("AWS Error UNKNOWN (HTTP status 403) during HeadObject operation: No response body.", 69, "access is refused"),
        ("AWS Error SLOW_DOWN during PutObject operation: slow", 69, "cannot be reached"),
        ("AWS Error INTERNAL_FAILURE during PutObject operation: oh", 74, "reading or writing failed"),
    ],
)
def test_what_s3_says_is_told_in_the_projects_words(shards, monkeypatch, text, exit_code, named):
    def refuse(*_: object) -> None:
        raise OSError(text)

    monkeypatch.setattr(s3.S3Folder, "_at", refuse)
    told = shards(ADDRESS)
    assert (told.exit_code, told.err.count("\n")) == (exit_code, 1), told.err
    assert named in told.err


def test_an_upload_that_arrives_otherwise_is_no_shard(shards, bucket, monkeypatch):
    genuine = s3.DigestingFile.written
    lost = property(lambda self: genuine.fget(self)._replace(num_bytes=1))
    monkeypatch.setattr(s3.DigestingFile, "written", lost)
    told = shards(ADDRESS)
    assert (told.exit_code, told.err.count("\n")) == (74, 1)
    assert "were sent" in told.err
