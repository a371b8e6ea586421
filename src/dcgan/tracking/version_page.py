"""What the registry shows of a model version: the tags that it is compared by later, and a page for people."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dcgan.tracking.gates import Champion, Decision

if TYPE_CHECKING:
    from dcgan.tracking.registry import Candidate

REFERENCE = ("dataset_sha256", "classifier_sha256", "num_samples")


def tags_of(candidate: "Candidate", decision: Decision) -> dict[str, str]:
    """The tags of a version; always the same keys, so that a second registration leaves no outdated one."""
    figures, failed = candidate.figures, [gate.name for gate in candidate.gates if not gate.passed]
    return {
        **{name: repr(getattr(figures, name)) for name in ("fcd", "fcd_floor", "fcd_spread")},
        **dict(zip(REFERENCE, figures.reference, strict=True)),
        "gates": "failed" if failed else "passed",
        "failed_gates": ", ".join(failed) or "none",
        "decision": f"{decision.alias}: {decision.reason}",
    }


def champion_from(version: str, tags: Mapping[str, str]) -> Champion:
    """The present champion, from the tags that `tags_of` gave its version."""
    dataset, classifier, num_samples = (tags.get(name) for name in REFERENCE)
    fcd, spread = _number(tags.get("fcd")), _number(tags.get("fcd_spread"))
    return Champion(version=version, fcd=fcd, fcd_spread=spread, reference=(dataset, classifier, num_samples))


def note_of(candidate: "Candidate", decision: Decision, *, run_id: str) -> str:
    """The version's page, Markdown: the decision, the figures, the gates and the report of `export`."""
    figures = candidate.figures
    ratio = f"{figures.fcd / figures.fcd_floor:.2f} × its real-against-real floor {figures.fcd_floor:.4f}"
    verdicts = {True: "yes", False: "**no**"}
    gates = (f"| {g.name} | {g.value:.4g} | {g.bound:.4g} | {verdicts[g.passed]} |" for g in candidate.gates)
    plain = ((key, value) for key, value in candidate.export.items() if isinstance(value, str | int | float))
    lines = [
        f"**{decision.alias}**: {decision.reason}.\n",
        f"fcd **{figures.fcd:.4f}**, {ratio}, on {figures.num_samples:,} samples. Trained by run `{run_id}`.\n",
        "| gate | value | bound | passed |\n|---|---|---|---|",
        *gates,
        "\nExport:\n",
        *(f"- {key}: `{value}`" for key, value in plain),
    ]
    return "\n".join(lines)


def _number(text: str | None) -> float | None:
    return None if text in {None, "None"} else float(text or "nan")
