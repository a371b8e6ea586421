"""What the registry says of a version: tags that the next candidate is compared by, and a page for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from dcgan.tracking.gates import Champion, GateResult, Judgement, Verdict
from dcgan.tracking.mlflow.registry import Entry


def tags_of(judgement: Judgement, gates: Sequence[GateResult], verdict: Verdict) -> dict[str, str]:
    """The tags of a judged version; always the same keys, so that a second registration leaves no stale one."""
    failed = [gate.name for gate in gates if not gate.holds]
    return {
        "fcd": repr(judgement.fcd),
        "fcd_floor": repr(judgement.fcd_floor),
        "num_samples": str(judgement.num_samples),
        "dataset_sha256": judgement.dataset_sha256,
        "classifier_sha256": judgement.classifier_sha256,
        "gates": "failed" if failed else "held",
        "failed_gates": ", ".join(failed) or "none",
        "verdict": f"{verdict.alias}: {verdict.reason}",
    }


def champion_from(entry: Entry | None) -> Champion | None:
    """The present champion, from the tags that `tags_of` gave it."""
    if entry is None:
        return None
    fcd, num_samples = entry.tags.get("fcd"), entry.tags.get("num_samples")
    return Champion(
        version=entry.version,
        fcd=float(fcd) if fcd else None,
        yardstick=(
            entry.tags.get("dataset_sha256"),
            entry.tags.get("classifier_sha256"),
            int(num_samples) if num_samples else None,
        ),
    )


def note_of(
    judgement: Judgement, gates: Sequence[GateResult], verdict: Verdict, *, export: Mapping[str, Any], run_id: str
) -> str:
    """The version's page, Markdown.

    Args:
        judgement: its figures.
        gates: what the gates said.
        verdict: its alias, and why.
        export: the report of the stage `export`; its plain values are listed.
        run_id: of the run that trained it.
    """
    floor = f"{judgement.fcd / judgement.fcd_floor:.2f} × the real-against-real floor {judgement.fcd_floor:.4f}"
    plain = {key: value for key, value in export.items() if isinstance(value, str | int | float)}
    return "\n".join(
        [
            f"**{verdict.alias}**: {verdict.reason}.",
            "",
            f"fcd **{judgement.fcd:.4f}**, {floor}, on {judgement.num_samples:,} samples. Trained by run `{run_id}`.",
            "",
            "| gate | value | bound | holds |",
            "|---|---|---|---|",
            *(f"| {gate.name} | {gate.value:.4g} | {gate.bound:.4g} | {_yes_or_no(gate.holds)} |" for gate in gates),
            "",
            "Export:",
            "",
            *(f"- {key}: `{value}`" for key, value in plain.items()),
        ]
    )


def _yes_or_no(holds: bool) -> str:
    return "yes" if holds else "**no**"
