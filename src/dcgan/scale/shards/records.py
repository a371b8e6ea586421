"""What is known of the shards of a set: the manifest once all are there, until then a record of each in `.shards/`.

Processes that make different shards of one set share nothing but the folder. Each writes the record of a shard after
the shard itself; whoever finds all of them writes the manifest, whose bytes depend on the set alone, and then deletes
the records. So records are read before the manifest: one of them has each shard, whatever happens meanwhile.
"""

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from dcgan.scale.shards.plan import ShardPlan
from dcgan.scale.shards.storage import Storage, write_bytes
from dcgan.system.errors import BadDataError, UsageError

MANIFEST = "manifest.json"
UNFINISHED = ".shards"
"""The folder of plan, records and locks; readers of data sets pass over names that begin with a dot."""
PLAN = f"{UNFINISHED}/plan.json"
READERS = 16
"""Files that are read at once: on S3 each takes its time."""


@dataclass(frozen=True, order=True, slots=True)
class ShardRecord:
    """What a shard holds."""

    index: int
    count: int
    num_bytes: int
    sha256: str


Records = Mapping[int, ShardRecord]


def require_same_plan(storage: Storage, plan: ShardPlan) -> None:
    """Refuse to mix shards of several plans in one folder.

    Raises:
        UsageError: there are shards with other options.
        BadDataError: there are shards of another model, or what tells of them is damaged.
    """
    for name in (PLAN, MANIFEST):
        if (content := storage.read(name)) is not None:
            found = _plan_in(storage, name, content)
            if found.model_sha256 != plan.model_sha256:
                raise BadDataError(
                    f"{storage}: its shards are of the model {found.model_sha256}, not of {plan.model_sha256}; "
                    "give that model by --model, or another folder"
                )
            if different := found.differences(plan):
                advice = "give the same options, or another folder"
                raise UsageError(f"{storage}: has shards with other options: {'; '.join(different)}; {advice}")


def write_plan(storage: Storage, plan: ShardPlan) -> None:
    """Note whose shards are being made, unless that is noted already."""
    if storage.read(PLAN) is None:
        write_bytes(storage, PLAN, _encoded(plan.to_json()))


def write_record(storage: Storage, plan: ShardPlan, record: ShardRecord) -> None:
    """Note that a shard is there."""
    content = {"plan": plan.fingerprint, **_entry(plan, record)}
    write_bytes(storage, f"{UNFINISHED}/{record.index:06d}.json", _encoded(content))


def read_records(storage: Storage, plan: ShardPlan) -> Records:
    """What is noted of each shard that was made, and is there in the size that it had."""
    noted = [name for name in storage.sizes(UNFINISHED) if name.endswith(".json") and name[:-5].isdecimal()]
    with ThreadPoolExecutor(READERS) as pool:
        contents = pool.map(lambda name: _record_in(storage, plan, name), noted)
        records = {record.index: record for record in contents if record is not None}
    records = _manifested(storage, plan) | records
    sizes = storage.sizes()
    return {index: record for index, record in records.items() if sizes.get(plan.name(index)) == record.num_bytes}


def verified(storage: Storage, plan: ShardPlan, records: Records) -> Records:
    """Those of the shards whose bytes have the digests that were noted."""
    with ThreadPoolExecutor(READERS) as pool:
        digests = pool.map(lambda index: storage.sha256(plan.name(index)), records)
        return {
            index: record
            for (index, record), digest in zip(records.items(), digests, strict=True)
            if digest == record.sha256
        }


def write_manifest(storage: Storage, plan: ShardPlan, records: Iterable[ShardRecord]) -> None:
    """Write the manifest of a set that is complete, and delete what told of its shards until then."""
    entries = [_entry(plan, record) for record in sorted(records)]
    content = plan.to_json() | {"bytes": sum(entry["bytes"] for entry in entries), "shards": entries}
    write_bytes(storage, MANIFEST, _encoded(content))
    storage.remove(UNFINISHED)


def _entry(plan: ShardPlan, record: ShardRecord) -> dict[str, Any]:
    names = {"name": plan.name(record.index), "count": record.count}
    return names | {"bytes": record.num_bytes, "sha256": record.sha256}


def _encoded(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def _plan_in(storage: Storage, name: str, content: bytes) -> ShardPlan:
    try:
        return ShardPlan.from_json(json.loads(content))
    except (ValueError, KeyError, TypeError):
        raise _damaged(storage, name) from None


def _record_in(storage: Storage, plan: ShardPlan, name: str) -> ShardRecord | None:
    """What a record says, if it is whole and of this plan; None: that shard counts as missing."""
    try:
        entry = json.loads(storage.read(f"{UNFINISHED}/{name}") or b"{}")
        is_ours = entry.get("plan") == plan.fingerprint
        return ShardRecord(int(name[:-5]), entry["count"], entry["bytes"], entry["sha256"]) if is_ours else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _manifested(storage: Storage, plan: ShardPlan) -> dict[int, ShardRecord]:
    content = storage.read(MANIFEST)
    if content is None or _plan_in(storage, MANIFEST, content) != plan:
        return {}
    try:
        shards = [(entry["count"], entry["bytes"], entry["sha256"]) for entry in json.loads(content)["shards"]]
    except (KeyError, TypeError):
        raise _damaged(storage, MANIFEST) from None
    return {index: ShardRecord(index, *values) for index, values in enumerate(shards)}


def _damaged(storage: Storage, name: str) -> BadDataError:
    return BadDataError(f"{storage}/{name}: damaged; delete it, and all shards are made again")
