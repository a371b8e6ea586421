"""DVC's own files, read without DVC: dvc.lock, the objects of its cache, the lock of its running commands.

An object of the cache is named by the MD5 of its bytes; a folder's is a listing of its files, named with `.dir` behind.
"""

import configparser
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan.system.errors import BadDataError
from dcgan.system.files import write_bytes

READ_ONLY = 0o444
"""The mode by which DVC knows an object as its own and trusts it unread."""

_OID = re.compile(r"[0-9a-f]{32}(\.dir)?")


@dataclass(frozen=True)
class Out:
    """A file or folder that a stage left, and the name of its object."""

    stage: str
    path: Path
    oid: str


def read_outs(path: Path) -> list[Out]:
    """The outs in a dvc.lock.

    Raises:
        BadDataError: it is not what DVC writes; the message gives the reason alone.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        if not text.strip("\0 \n"):
            raise BadDataError("empty")
        stages = yaml.safe_load(text)["stages"]
        return [_out(stage, out) for stage, entry in stages.items() for out in entry.get("outs", [])]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise BadDataError(f"truncated or no YAML{f', line {mark.line + 1}' if mark else ''}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadDataError(f"truncated or not what DVC writes ({_one_line(error)})") from error


def read_stages(path: Path) -> set[str]:
    """The names of the stages in a dvc.yaml or a dvc.lock, those made from one template counted once.

    Raises:
        BadDataError: it is not DVC's.
    """
    import yaml

    try:
        return {stage.partition("@")[0] for stage in yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]}
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadDataError(f"{path}: not what DVC reads ({_one_line(error)}); mend it") from error


def dvc_folder(start: Path) -> Path | None:
    """The folder .dvc that DVC takes when it is called in `start`, relative to `start`."""
    for folder in (start := start.resolve(), *start.parents):
        if (folder / ".dvc").is_dir():
            return Path(os.path.relpath(folder / ".dvc", start))
    return None


def cache_folder(dvc: Path) -> Path:
    """Where the objects lie: under cache.dir of the repository's configuration, else under .dvc/cache.

    Raises:
        BadDataError: a configuration file cannot be read.
    """
    for name in ("config.local", "config"):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read(dvc / name, encoding="utf-8")
        except (configparser.Error, ValueError) as error:
            raise BadDataError(f"{dvc / name}: not DVC's configuration ({_one_line(error)}); mend it") from error
        if configured := parser.get("cache", "dir", fallback="").strip("\"'"):
            return Path(os.path.normpath(dvc / Path(configured).expanduser())) / "files/md5"
    return dvc / "cache/files/md5"


def object_path(cache: Path, oid: str) -> Path:
    """The file of an object."""
    return cache / oid[:2] / oid[2:]


def md5_of(path: Path) -> str | None:
    """The MD5 of a file's bytes; None where there is no file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def listing_of(folder: Path) -> dict[str, str]:
    """The MD5 of every file below a folder, by its path from there."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): md5_of(file) or "" for file in files}


def oid_of_bytes(content: bytes, *, is_folder: bool) -> str:
    """The name of the object that has these bytes, which list a folder or are a file's own."""
    return f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}{'.dir' if is_folder else ''}"


def oid_of_object(path: Path) -> str | None:
    """The name that the object in a file should have by its bytes; None where there is no file."""
    md5 = md5_of(path)
    return md5 and md5 + path.suffix


def encode_listing(listing: Mapping[str, str]) -> bytes:
    """The bytes of a folder's object."""
    entries = [{"md5": md5, "relpath": name} for name, md5 in sorted(listing.items())]
    return json.dumps(entries, sort_keys=True).encode()


def decode_listing(content: bytes) -> dict[str, str]:
    """What `encode_listing` encoded."""
    return {entry["relpath"]: entry["md5"] for entry in json.loads(content)}


def store_object(path: Path, content: bytes) -> None:
    """Create or replace the file of an object, atomically, as read-only as DVC's own."""
    write_bytes(path, content)
    path.chmod(READ_ONLY)


def read_rwlock(path: Path) -> dict[int, str]:
    """The commands that DVC's lock of files says are running, by pid; none where it is missing.

    Raises:
        BadDataError: it is not what DVC writes, and DVC refuses to run; the message gives the reason alone.
    """
    try:
        content = json.loads(path.read_bytes())
        readers = [info for infos in content.get("read", {}).values() for info in infos]
        return {int(info["pid"]): str(info["cmd"]) for info in [*content.get("write", {}).values(), *readers]}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadDataError(f"truncated or not what DVC writes ({_one_line(error)})") from error


def _out(stage: str, entry: Mapping[str, Any]) -> Out:
    if not _OID.fullmatch(entry["md5"]):
        raise ValueError(f"md5 {entry['md5']}")
    return Out(stage, Path(entry["path"]), entry["md5"])


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
