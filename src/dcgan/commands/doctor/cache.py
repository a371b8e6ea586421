"""The outs that dvc.lock lists, and their objects in DVC's cache.

DVC trusts every read-only object: it hands out a damaged one without a word, and after `dvc repro --force` of the stage
it puts the damaged object in the place of the good file that the stage wrote. So every one is read and hashed here.
"""

import os
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from dcgan.commands.doctor.finding import REPAIR, Finding, removing

LOCK = Path("dvc.lock")
OID = re.compile(r"[0-9a-f]{32}(\.dir)?")
"""How DVC names an object: by the MD5 of a file, or of a folder's listing."""


class Status(NamedTuple):
    """What `dvc data status` says of the files that dvc.lock lists."""

    changed: set[Path]
    missing: set[Path]
    uncached: set[Path]


def examine_cache(repo: Any) -> Iterator[Finding]:
    """The damaged objects of DVC's cache, which go, with the files in the workspace that DVC made of them.

    Of a cache outside the workspace, which may be one for many projects, only what dvc.lock lists is looked at.
    """
    cache, files = repo.cache.local, _files_of_objects(repo)
    is_own = Path(cache.path).is_relative_to(repo.dvc_dir)
    for oid in sorted(filter(OID.fullmatch, cache.all() if is_own else filter(cache.exists, list(files)))):
        path = _from_here(cache.oid_to_path(oid))
        if (md5 := _md5(path)) != oid.removesuffix(".dir"):
            copies = [file for file in files[oid] if file.is_file() and _md5(file) == md5]
            problem = f"object of DVC's cache, {path}: md5 expected {oid}, found {md5}"
            yield Finding(path=[*files[oid], path][0], problem=problem, command=REPAIR, delete=(path, *copies))


def examine_outs(repo: Any) -> Iterator[Finding]:
    """What the workspace or the cache lacks, and what is not as dvc.lock lists it; the cache must be whole."""
    status = changed, missing, uncached = _read_afresh()
    unseen = sorted(path for path in changed - _status(repo).changed if path.is_file())
    for path in unseen:
        then = "dvc repro" if path in uncached else shlex.join(["dvc", "checkout", str(path)])
        problem = "its content changed, but not its modification time, so that DVC does not see it"
        yield Finding(path=path, problem=problem, command=removing(path, then=then), delete=(path,))
    if lost := _uncached_outs(repo, status):
        problem = f"outputs that are whole but not in DVC's cache: {_listed(lost)}; DVC would make them again"
        yield Finding(path=LOCK, problem=problem, command=REPAIR, is_damage=False)
    if different := sorted((changed | missing) - {path for file in unseen for path in (file, *file.parents)}):
        here = [path for path in different if path.is_file()]
        is_restorable = uncached.isdisjoint(different) and all(repo.cache.local.exists(_md5(path)) for path in here)
        pull = _pull_command(repo)
        make = pull if pull and not here else "dvc repro"
        problem = f"files that are missing, or changed since it was written: {_listed(different)}"
        command = "dvc checkout" if is_restorable else make
        yield Finding(path=LOCK, problem=problem, command=command, is_damage=False)


def _pull_command(repo: Any) -> str | None:
    """How to get what others have pushed; None without a default remote, or a single one."""
    names = list(repo.config["remote"])
    if repo.config["core"].get("remote"):
        return "dvc pull"
    return shlex.join(["dvc", "pull", "--remote", *names]) if len(names) == 1 else None


def restore_cache(repo: Any) -> list[Any]:
    """Put the outs that are whole but not in DVC's cache there; returns them."""
    lost = _uncached_outs(repo, _read_afresh())
    for out in lost:
        out.commit(relink=False)
    return lost


def _listed(paths: Sequence[object]) -> str:
    """As `33 (data/raw, …)`."""
    return f"{len(paths)} ({paths[0]}{', …' if len(paths) > 1 else ''})"


def _uncached_outs(repo: Any, status: Status) -> list[Any]:
    different = status.changed | status.missing

    def has_any_of(out: Any, paths: set[Path]) -> bool:
        return any(path.is_relative_to(_from_here(out.fs_path)) for path in paths)

    return [out for out in repo.index.outs if has_any_of(out, status.uncached) and not has_any_of(out, different)]


def _read_afresh() -> Status:
    """The status by the bytes of all files: without the memory in which DVC keeps hashes with the files' times."""
    from dvc.repo import Repo

    with TemporaryDirectory() as memory, Repo(config={"core": {"site_cache_dir": memory, "no_scm": True}}) as repo:
        return _status(repo)


def _status(repo: Any) -> Status:
    status = repo.data_status(granular=True, with_renames=False)
    told = defaultdict(list, status["uncommitted"])
    groups = [*told["modified"], *told["added"]], told["deleted"], status["not_in_cache"]
    return Status(*({_from_here(Path(repo.root_dir, path)) for path in group} for group in groups))


def _files_of_objects(repo: Any) -> dict[str, list[Path]]:
    """Where in the workspace the file of an object is."""
    from dvc_data.hashfile.tree import Tree
    from dvc_objects.errors import ObjectFormatError

    files = defaultdict(list)
    for out in repo.index.outs:
        path = _from_here(out.fs_path)
        if out.hash_info:
            files[out.hash_info.value].append(path)
        if out.hash_info and out.hash_info.isdir:
            try:
                listing = list(Tree.load(repo.cache.local, out.hash_info))
            except (FileNotFoundError, ObjectFormatError):
                continue
            for key, _, info in listing:
                files[info.value].append(path.joinpath(*key))
    return files


def _md5(path: Path) -> str:
    from dvc_data.hashfile.hash import hash_file
    from dvc_objects.fs.local import localfs

    return str(hash_file(str(path), localfs, "md5")[1].value)


def _from_here(path: str | Path) -> Path:
    return Path(os.path.relpath(path))
