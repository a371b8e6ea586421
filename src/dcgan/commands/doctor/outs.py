"""The outs that dvc.lock lists: each one's file in the workspace, and its object in DVC's cache.

DVC trusts every read-only object: it hands out a damaged one without a word, and after `dvc repro --force` of the stage
it puts the damaged object in the place of the good file that the stage wrote. So every one is read and hashed here.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dcgan.commands.doctor import dvc_files
from dcgan.commands.doctor.dvc_files import Out
from dcgan.commands.doctor.finding import ONE_COMMAND, Finding, Repair, deleting, deletion
from dcgan.commands.doctor.locks import LOCK

REPRO = "dvc repro"


@dataclass(frozen=True)
class Copy:
    """A file or a folder's listing in the workspace, and its object in the cache."""

    stage: str
    path: Path
    here: str | None
    """Name of the object that it would become as it is; None: there is nothing."""

    expected: str
    object_path: Path
    found: str | None
    """Name that the object should have by its bytes; None: there is no object."""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder's listing."""
        return self.expected.endswith(".dir")

    def store(self) -> None:
        """Write the object from what is here, if that still is what dvc.lock lists."""
        listing = dvc_files.encode_listing(dvc_files.listing_of(self.path)) if self.is_folder else b""
        content = listing or self.path.read_bytes()
        if dvc_files.oid_of_bytes(content, is_folder=self.is_folder) == self.expected:
            dvc_files.store_object(self.object_path, content)


def examine_outs(dvc: Path | None) -> Iterator[Finding]:
    """What differs from dvc.lock, here or in the cache.

    Args:
        dvc: the folder .dvc; None where there is none, and so no cache.
    """
    outs = dvc_files.read_outs(LOCK)
    cache = dvc_files.cache_folder(dvc) if dvc else None
    uncached: list[Copy] = []
    for out in outs:
        listing = dvc_files.listing_of(out.path) if out.path.is_dir() else None
        here = (
            dvc_files.md5_of(out.path)
            if listing is None
            else dvc_files.oid_of_bytes(dvc_files.encode_listing(listing), is_folder=True)
        )
        copies = _copies(out, here, listing or {}, cache) if cache else []
        damage = [_damage(copy) for copy in copies if copy.found not in {None, copy.expected}]
        yield from damage
        if here not in {None, out.oid} and not any(finding.repair and finding.repair.left for finding in damage):
            yield _difference(out, here)
        uncached += [copy for copy in copies if copy.found is None and copy.here == copy.expected]
    yield from _uncached(uncached)
    yield from _absent(outs)


def _copies(out: Out, here: str | None, listing: dict[str, str], cache: Path) -> list[Copy]:
    """The object of an out, and those of the files in it, if it is a folder."""
    path = dvc_files.object_path(cache, out.oid)
    copies = [Copy(out.stage, out.path, here, out.oid, path, dvc_files.oid_of_object(path))]
    if not copies[0].is_folder:
        return copies
    if copies[0].found == out.oid:
        expected = dvc_files.decode_listing(path.read_bytes())
    else:
        expected = listing if here == out.oid else {}
    for name, md5 in expected.items():
        path = dvc_files.object_path(cache, md5)
        copies.append(Copy(out.stage, out.path / name, listing.get(name), md5, path, dvc_files.oid_of_object(path)))
    return copies


def _damage(copy: Copy) -> Finding:
    """A damaged object: written anew from a whole file, or else deleted, with the file that was made from it."""
    what = "listing" if copy.is_folder else "copy"
    problem = f"its {what} in DVC's cache, {copy.object_path}: md5 expected {copy.expected}, found {copy.found}"
    if copy.here == copy.expected:
        repair = Repair(did=f"wrote {copy.object_path} anew, from the whole file here", act=copy.store)
        return Finding(path=copy.path, problem=problem, command=ONE_COMMAND, repair=repair)
    made_from_it = copy.here == copy.found and not copy.is_folder
    doomed = [copy.object_path, copy.path] if made_from_it else [copy.object_path]
    command = f"{deleting(*doomed)} && dvc repro {copy.stage}"
    return Finding(path=copy.path, problem=problem, command=command, repair=deletion(*doomed, left=REPRO))


def _difference(out: Out, here: str | None) -> Finding:
    """An out that is not the one of dvc.lock; DVC looks at it again if its time is new, and loses nothing by that."""
    touch = ["find", str(out.path), "-type", "f", "-exec", "touch", "{}", "+"]
    command = f"{shlex.join(touch)} && dvc repro {out.stage}"
    problem = f"md5 in dvc.lock {out.oid}, found {here}: of a new or an interrupted run, or changed since"
    repair = Repair(did="touched, so that DVC looks at it again", act=partial(_touch, out.path), left=REPRO)
    return Finding(path=out.path, problem=problem, command=command, damage=False, repair=repair)


def _uncached(copies: Sequence[Copy]) -> Iterator[Finding]:
    if copies:
        problem = f"{len(copies)} files of it are not in DVC's cache, as {copies[0].path}, and would be made again"

        def store() -> None:
            for copy in copies:
                copy.store()

        repair = Repair(did="put what was not in DVC's cache there", act=store)
        yield Finding(path=LOCK, problem=problem, command=ONE_COMMAND, damage=False, repair=repair)


def _absent(outs: Sequence[Out]) -> Iterator[Finding]:
    """What has not been made yet, or is not here: one note, for a fresh clone has nothing."""
    absent = [str(out.path) for out in outs if not out.path.exists()]
    never_run = sorted(dvc_files.read_stages(Path("dvc.yaml")) - dvc_files.read_stages(LOCK))
    if absent:
        problem = f"{len(absent)} of its {len(outs)} outs are not here, as {absent[0]}"
        yield Finding(path=LOCK, problem=problem, command=REPRO, damage=False)
    if never_run:
        yield Finding(path=LOCK, problem=f"lacks {', '.join(never_run)}", command=REPRO, damage=False)


def _touch(path: Path) -> None:
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        file.touch()
