"""The outs of dvc.yaml: each one's files in the workspace, and their objects in DVC's cache.

DVC trusts every read-only object: it hands out a damaged one without a word, and after `dvc repro --force` of the stage
it puts the damaged object in the place of the good file that the stage wrote. So every one is read and hashed here.
"""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dcgan.commands.doctor.finding import Finding

LOCK = Path("dvc.lock")
OID = re.compile(r"[0-9a-f]{32}(\.dir)?")
"""How DVC names an object: by the MD5 of a file, or of a folder's listing."""


class Cache:
    """DVC's cache, every object of which is read."""

    def __init__(self, database: Any) -> None:
        from dvc_data.hashfile.hash import hash_file

        self.database = database
        oids = [oid for oid in sorted(database.all()) if OID.fullmatch(oid)]
        md5s = {oid: hash_file(database.oid_to_path(oid), database.fs, "md5")[1].value for oid in oids}
        self.damaged = {oid: md5 for oid, md5 in md5s.items() if md5 != oid.removesuffix(".dir")}
        """Objects that have another MD5 than the one that names them, with that one."""
        self.whole = md5s.keys() - self.damaged.keys()

    def path(self, oid: str) -> Path:
        """The file of an object."""
        return Path(os.path.relpath(self.database.oid_to_path(oid)))


@dataclass(frozen=True)
class Out:
    """An out of a stage. Its objects go by the path, below the out, of the file that they are of; "" is the out."""

    dvc: Any
    """DVC's Output."""
    path: Path
    oid: str | None
    """What dvc.lock lists; None: the stage has not run."""
    here: dict[str, str]
    """The objects that the workspace's files would become."""
    listed: dict[str, str]
    """The objects that dvc.lock lists, as far as they can be told; none if DVC does not cache them."""

    @property
    def is_as_listed(self) -> bool:
        """Whether the workspace has what dvc.lock lists."""
        return self.oid is not None and self.here.get("") == self.oid

    @property
    def repro(self) -> str:
        """The command that makes it again."""
        return shlex.join(["dvc", "repro", self.dvc.stage.addressing])


def examine_cache(repo: Any) -> Iterator[Finding]:
    """What is damaged, what the workspace or the cache lacks, and what is not as dvc.lock lists it.

    Args:
        repo: DVC's Repo.
    """
    cache = Cache(repo.cache.local)
    outs = [_read(out, cache) for out in repo.index.outs]
    others = []
    for out in outs:
        found = list(_examine(out, cache))
        yield from found
        others += [] if found else [out]
    listed = {oid for out in outs for oid in out.listed.values()}
    for oid in cache.damaged.keys() - listed:
        path = cache.path(oid)
        yield Finding(path=path, problem=f"an object of DVC's cache: md5 found {cache.damaged[oid]}", delete=(path,))
    yield from _different(others, cache, has_remote=bool(repo.config["remote"]))


def _read(out: Any, cache: Cache) -> Out:
    from dvc_data.hashfile import load
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import get_odb

    # The same cache, without DVC's memory of files' hashes.
    forgetful = get_odb(out.fs, cache.database.path)  # type: ignore[no-untyped-call]
    try:
        here = _objects(build(forgetful, out.fs_path, out.fs, "md5", dry_run=True, ignore=out.dvcignore)[2])
    except FileNotFoundError:
        here = {}
    oid = out.hash_info.value if out.hash_info else None
    listed: dict[str, str] = {}
    if oid and out.use_cache:
        is_here, is_cached = here.get("") == oid, oid in cache.whole
        listed = _objects(load(cache.database, out.hash_info)) if is_cached else here if is_here else {"": oid}
    return Out(out, Path(os.path.relpath(out.fs_path)), oid, here, listed)


def _objects(built: Any) -> dict[str, str]:
    from dvc_data.hashfile.tree import Tree

    files = {"/".join(key): info.value for key, _, info in built} if isinstance(built, Tree) else {}
    return {"": built.oid} | files


def _examine(out: Out, cache: Cache) -> Iterator[Finding]:
    damaged = {name: oid for name, oid in out.listed.items() if oid in cache.damaged}
    lacking = [oid for oid in out.listed.values() if oid not in cache.whole]
    problem = f"{len(lacking)} of its objects are not in DVC's cache and would be made again"
    objects = tuple(map(cache.path, damaged.values()))
    if damaged:
        oid = next(iter(damaged.values()))
        problem = f"md5 expected {oid}, found {cache.damaged[oid]}"
        problem = f"{len(damaged)} of its objects in DVC's cache are damaged, as {objects[0]}: {problem}"
    if lacking and out.is_as_listed:  # stored anew from the whole files here
        store = partial(out.dvc.commit, relink=False)
        yield Finding(path=out.path, problem=problem, delete=objects, restore=store, is_damage=bool(damaged))
    elif damaged:  # deleted, with the files here that were made of them
        copies = tuple(out.path / name for name, oid in damaged.items() if out.here.get(name) == cache.damaged[oid])
        yield Finding(path=out.path, problem=problem, delete=objects + copies, then=out.repro)
    elif out.here and out.oid and not out.is_as_listed and not out.dvc.changed_checksum():
        problem = f"md5 expected {out.oid}, found {out.here['']}, which DVC, that looks at times, does not see"
        changed = {name: oid for name, oid in out.here.items() if oid != out.listed.get(name)}
        wrong = tuple(out.path / name for name, oid in sorted(changed.items()) if not oid.endswith(".dir"))
        then = shlex.join(["dvc", "checkout", str(out.path)]) if out.listed and not lacking else out.repro
        yield Finding(path=out.path, problem=problem, delete=wrong, then=then)


def _different(outs: Sequence[Out], cache: Cache, *, has_remote: bool) -> Iterator[Finding]:
    """One line for all that is missing, or of another run or commit: a fresh clone has nothing."""
    missing = [out for out in outs if not out.here]
    changed = [out for out in outs if out.here and not out.is_as_listed]
    if not missing and not changed:
        return
    kinds = {"missing": missing, f"not as {LOCK} lists them": changed}
    problem = ", ".join(f"{len(some)} outs are {kind}, as {some[0].path}" for kind, some in kinds.items() if some)
    listed = [out for out in [*missing, *changed] if out.listed]
    if listed and all(cache.whole >= {*out.listed.values(), *out.here.values()} for out in listed):
        then = "dvc checkout"  # which brings back all, and loses nothing
    else:
        then = "dvc pull" if listed and has_remote and not changed else "dvc repro"
    yield Finding(path=LOCK, problem=problem, then=then, is_damage=False)
