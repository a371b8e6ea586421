"""MNIST as people have it: unpacked, packed again, under other names, deeper in a folder, behind a server."""

import bz2
import gzip
import io
import lzma
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from damage import flipped
from dcgan.data.files import ARRAYS, DataFile, download_files, fetch, read_arrays
from dcgan.system.errors import BadDataError, UsageError
from tiny_data import NAMES, tiny_arrays
from tiny_mirror import serving, write_mirror


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """The four files as published, by name."""
    return {path.name: path.read_bytes() for path in write_mirror(tmp_path / "mirror", monkeypatch).iterdir()}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return tmp_path / "raw"


def kept(folder: Path, published: dict[str, bytes], name_and_content: Callable[[str, bytes], tuple[str, bytes]]) -> str:
    """A folder with the files in the way that somebody keeps them."""
    for name, content in published.items():
        path, changed = name_and_content(name, content)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(changed)
    return str(folder)


def plain(name: str) -> str:
    return name.removesuffix(".gz")


def zipped(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return archive.getvalue()


WAYS = {
    "unpacked": lambda name, content: (plain(name), gzip.decompress(content)),
    "unpacked, the name is as if it were not": lambda name, content: (name, gzip.decompress(content)),
    "unpacked, with a dot": lambda name, content: (plain(name).replace("-idx", ".idx"), gzip.decompress(content)),
    "packed with other settings": lambda name, content: (name, gzip.compress(gzip.decompress(content), 1, mtime=7)),
    "packed with a dot": lambda name, content: (name.replace("-idx", ".idx"), content),
    "by torchvision": lambda name, content: (f"MNIST/raw/{plain(name)}", gzip.decompress(content)),
    "each in a folder": lambda name, content: (f"{plain(name)}/{plain(name)}", gzip.decompress(content)),
    "packed by xz": lambda name, content: (f"{plain(name)}.xz", lzma.compress(gzip.decompress(content))),
    "packed by bzip2": lambda name, content: (f"{plain(name)}.bz2", bz2.compress(gzip.decompress(content))),
    "zipped, each alone": lambda name, content: (f"{plain(name)}.zip", zipped({plain(name): gzip.decompress(content)})),
    "renamed": lambda name, content: (f"{zlib.crc32(content)}.bin", content),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_content_counts_not_the_name_or_the_packing(published, raw, tmp_path, way):
    folder = kept(tmp_path / "mine", published, WAYS[way])
    download_files("mnist", raw, mirrors=[folder])
    arrays, expected = read_arrays("mnist", raw), tiny_arrays()
    for key in ARRAYS:
        np.testing.assert_array_equal(arrays[key], expected[key], strict=True)


def test_what_is_not_packed_as_published_is_stored_alike_wherever_it_comes_from(published, tmp_path):
    stored = []
    for way in ("unpacked", "packed with other settings", "by torchvision"):
        download_files("mnist", tmp_path / way, mirrors=[kept(tmp_path / f"from {way}", published, WAYS[way])])
        stored.append({path.name: path.read_bytes() for path in (tmp_path / way).iterdir()})
    assert stored[0] == stored[1] == stored[2]
    assert sorted(stored[0]) == sorted(NAMES.values())


def test_files_in_place_stay_if_their_content_is_right(published, raw, tmp_path, capsys):
    kept(raw, published, WAYS["packed with other settings"])
    before = {path: path.read_bytes() for path in raw.iterdir()}
    download_files("mnist", raw, mirrors=[])
    assert {path: path.read_bytes() for path in raw.iterdir()} == before
    assert capsys.readouterr().out.count("already there") == 4


def test_unpacked_files_in_place_are_packed(published, raw, tmp_path):
    kept(raw, published, WAYS["unpacked, the name is as if it were not"])
    download_files("mnist", raw, mirrors=[str(tmp_path / "mirror")])
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == published


def test_published_files_are_stored_byte_for_byte(published, raw, tmp_path):
    download_files("mnist", raw, mirrors=[kept(tmp_path / "mine", published, WAYS["renamed"])])
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == published


def test_a_file_under_another_name_is_told(published, raw, tmp_path, capsys):
    folder = kept(tmp_path / "mine", published, WAYS["unpacked"])
    download_files("mnist", raw, mirrors=[folder])
    printed = capsys.readouterr().out
    assert all(f"from {folder}/{plain(name)}\n" in printed for name in published)


@pytest.mark.parametrize("way", ["unpacked", "packed with other settings", "renamed"])
def test_one_changed_bit_is_refused_however_it_is_kept(published, raw, tmp_path, way):
    def changed(name: str, content: bytes) -> tuple[str, bytes]:
        path, same = WAYS[way](name, gzip.compress(flipped(gzip.decompress(content), -8)))
        return path, same

    with pytest.raises(BadDataError, match=r"expected sha256 .* found "):
        download_files("mnist", raw, mirrors=[kept(tmp_path / "mine", published, changed)])
    assert not raw.exists()


def test_a_good_copy_beside_a_damaged_one_is_taken(published, raw, tmp_path):
    folder = kept(tmp_path / "mine", published, WAYS["renamed"])
    kept(Path(folder), published, lambda name, content: (name, content[:-9]))
    download_files("mnist", raw, mirrors=[folder])
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == published


class UnpackedMirror(BaseHTTPRequestHandler):
    """A server that has only unpacked files."""

    files: dict[str, bytes]

    def do_GET(self):
        content = self.files.get(self.path.lstrip("/"))
        if content is None:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        return None


def test_one_archive_may_hold_them_all(published, raw, tmp_path):
    """As a download from Kaggle."""
    archive = zipped({plain(name): gzip.decompress(content) for name, content in published.items()})
    download_files("mnist", raw, mirrors=[kept(tmp_path / "mine", {"archive.zip": archive}, lambda *file: file)])
    arrays, expected = read_arrays("mnist", raw), tiny_arrays()
    assert all(np.array_equal(arrays[key], expected[key]) for key in ARRAYS)


@pytest.mark.parametrize("damage", [b"PK\x03\x04 no archive", b"BZh9 no bzip2", b"\xfd7zXZ\0 no xz"])
def test_a_damaged_package_is_told_by_its_hash(published, raw, tmp_path, damage):
    folder = kept(tmp_path / "mine", published, lambda name, _content: (name, damage))
    with pytest.raises(BadDataError, match=r"expected sha256 .* found "):
        download_files("mnist", raw, mirrors=[folder])


def test_a_server_may_have_them_unpacked_too(published, raw, monkeypatch):
    files = {plain(name): gzip.decompress(content) for name, content in published.items()}
    monkeypatch.setattr(UnpackedMirror, "files", files, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    with serving(UnpackedMirror) as address:
        download_files("mnist", raw, mirrors=[f"http://{address}"])
    assert sorted(path.name for path in raw.iterdir()) == sorted(NAMES.values())


def test_a_folder_may_be_given_as_an_address(published, raw, tmp_path, monkeypatch):
    folder = kept(tmp_path / "with a space", published, WAYS["unpacked"])
    monkeypatch.setenv("MNIST_MIRROR", Path(folder).as_uri())
    download_files("mnist", raw, mirrors=[])
    assert sorted(path.name for path in raw.iterdir()) == sorted(NAMES.values())


def test_a_file_in_place_of_a_folder_is_called_one(published, raw, tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_MIRROR", str(tmp_path / "mirror" / next(iter(published))))
    with pytest.raises(UsageError, match=r"\.gz: is a file; name its folder"):
        download_files("mnist", raw, mirrors=[])


def test_a_bomb_that_claims_the_right_size_is_refused_without_unpacking_it(published, raw, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "MAX_BYTES", 2**20)  # what is read of a file is held as a whole
    size = len(gzip.decompress(published[NAMES["train_images"]]))
    bomb = gzip.compress(bytes(2**25), 9)[:-4] + size.to_bytes(4, "little")
    folder = kept(tmp_path / "mine", {"bomb": bomb}, lambda name, content: (name, content))
    tracemalloc.start()
    with pytest.raises(BadDataError, match=r"train-images.*expected sha256"):
        download_files("mnist", raw, mirrors=[folder])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**22


def test_where_only_the_packed_file_has_a_published_checksum_an_unpacked_one_is_told_so():
    file = DataFile("train-images-idx3-ubyte.gz", (5, 28, 28), "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d")
    assert "which is of the file as published, packed" in file.difference(b"\0\0\x08\x03")
