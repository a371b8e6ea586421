"""MLflow's model registry: versions of the generator as ONNX, and the aliases `champion` and `challenger`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dcgan.config.schema import Params
from dcgan.config.workspace import EVALUATION, EXPORT, GENERATOR, ONNX_GENERATOR
from dcgan.system.errors import BadDataError
from dcgan.system.files import read_json, sha256_of
from dcgan.tracking.gates import (
    Champion,
    Decision,
    EvaluationFigures,
    GateResult,
    apply_gates,
    decide,
    failed_gates,
)
from dcgan.tracking.onnx_model import load_onnx
from dcgan.tracking.promotion import NOT_ROLLED_BACK, alias_lock, give_alias, note
from dcgan.tracking.provenance import GENERATOR_SHA256
from dcgan.tracking.upload import holds_file, send_report, upload_version
from dcgan.tracking.versions import (
    DECISION,
    FAILED_GATES,
    GATES,
    ROLLED_BACK_AT,
    champion_of,
    find_versions,
    number_or_none,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from onnx import ModelProto

DESCRIPTION = (
    "Draws grey images of 28x28 pixels, like those of the data set that a version's tags name. Inputs: `latents`"
    " float32 [batch, latent_dim] and, for a conditional model, `labels` int64 [batch]. Outputs: `images` float32"
    " [batch, 1, 28, 28] in [-1, 1] and `pixels` uint8 [batch, 28, 28]."
)
REFERENCE = ("dataset_sha256", "classifier_sha256", "num_samples")
"""The tags for `EvaluationFigures.reference`."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The workspace's exported model, models/generator.onnx, with all that is known of it."""

    model: "ModelProto"
    hashes: Mapping[str, str]
    """What tells it from every other version, as tags: the SHA-256 of its weights and of its file."""
    figures: EvaluationFigures
    gates: Sequence[GateResult]
    export: Mapping[str, Any]
    """The report of the stage `export`."""


def read_candidate(params: Params) -> Candidate:
    """The model that the stages `evaluate` and `export` left.

    Raises:
        BadDataError: a file is missing or damaged, or a report is on other weights.
    """
    evaluation, export = read_json(EVALUATION, made_by="evaluate"), read_json(EXPORT, made_by="export")
    figures, model = EvaluationFigures.from_report(evaluation, path=EVALUATION), load_onnx(ONNX_GENERATOR)
    if not GENERATOR.is_file():
        raise BadDataError(f"{GENERATOR}: missing; run `dvc repro train` first")
    sha256 = sha256_of(GENERATOR)
    for report, path in ((evaluation, EVALUATION), (export, EXPORT)):
        if report.get(GENERATOR_SHA256) != sha256:
            raise BadDataError(f"{path}: reports on other weights than {GENERATOR}; run `dvc repro`")
    return Candidate(
        model=model,
        hashes={GENERATOR_SHA256: sha256, "onnx_sha256": sha256_of(ONNX_GENERATOR)},
        figures=figures,
        gates=apply_gates(params.gates, figures),
        export=export,
    )


def register(
    client: "MlflowClient", candidate: Candidate, *, name: str, run_id: str, step: int
) -> tuple[str, Decision]:
    """Make the candidate a version of the registered model `name`, unless it is one, and decide on its alias.

    The run `run_id`, of its training, gets the ONNX file at `step`, its last. Returns the version's number, whose page
    is up to date then, and the decision.

    Raises:
        BusyError: somebody else moved the alias champion meanwhile; the version is there.
    """
    number = _find_version(client, candidate, name) or upload_version(
        client, candidate.model, name=name, tags=candidate.hashes, run_id=run_id, step=step
    )
    send_report(client, name, number)
    with alias_lock():
        model, versions = client.get_registered_model(name), find_versions(client, name)
        if not model.description:
            client.update_registered_model(name, DESCRIPTION)
        before = champion_of(model)
        champion = _champion_from(client, versions.get(before or ""), is_candidate=before == number)
        was_rolled_back = any(_was_rolled_back(version, candidate) for version in versions.values())
        decision = decide(candidate.gates, candidate.figures, champion, version=number, was_rolled_back=was_rolled_back)
        is_champion = decision.alias == "champion"
        forgotten = NOT_ROLLED_BACK if is_champion or not was_rolled_back else {}
        tags, page = _tags_of(candidate, decision) | forgotten, _page_of(candidate, decision, run_id=run_id)
        note(client, versions[number], tags, page=page)
        if is_champion:
            give_alias(client, name, number, before=before)
        else:
            client.set_registered_model_alias(name, decision.alias, number)
    return number, decision


def _find_version(client: "MlflowClient", candidate: Candidate, name: str) -> str | None:
    """The number of the candidate's version; None if there is none, or if its file is gone."""
    conditions = " and ".join(f"tags.{tag} = '{value}'" for tag, value in candidate.hashes.items())
    # The name is not among the conditions: it may hold quotes of both kinds.
    numbers = [str(each.version) for each in client.search_model_versions(conditions) if each.name == name]
    return next((number for number in numbers if holds_file(client, name, number)), None)


def _was_rolled_back(version: "ModelVersion", candidate: Candidate) -> bool:
    """Whether people rolled this version back, which has the candidate's weights, and its figures are the same yet."""
    known = {GENERATOR_SHA256: candidate.hashes[GENERATOR_SHA256], **_figures_of(candidate)}
    return ROLLED_BACK_AT in version.tags and version.tags.items() >= known.items()


def _tags_of(candidate: Candidate, decision: Decision) -> dict[str, str | None]:
    """What lists of versions show; always the same keys, so that a second registration leaves no outdated one."""
    failed = failed_gates(candidate.gates)
    return {
        **_figures_of(candidate),
        GATES: "failed" if failed else "passed",
        FAILED_GATES: failed or "none",
        DECISION: f"{decision.alias}: {decision.reason}",
    }


def _figures_of(candidate: Candidate) -> dict[str, str]:
    """The figures that decide, as tags."""
    figures = candidate.figures
    return {
        **{name: repr(getattr(figures, name)) for name in ("fcd", "fcd_floor", "fcd_spread")},
        **dict(zip(REFERENCE, figures.reference, strict=True)),
    }


def _champion_from(client: "MlflowClient", version: "ModelVersion | None", *, is_candidate: bool) -> Champion | None:
    """The present champion, from the tags that `_tags_of` gave it; None if there is none, or if its file is gone."""
    if version is None or not (is_candidate or holds_file(client, version.name, str(version.version))):
        return None
    dataset, classifier, num_samples = (version.tags.get(name) for name in REFERENCE)
    fcd, spread = (number_or_none(version.tags.get(key)) for key in ("fcd", "fcd_spread"))
    return Champion(
        version=str(version.version), fcd=fcd, fcd_spread=spread, reference=(dataset, classifier, num_samples)
    )


def _page_of(candidate: Candidate, decision: Decision, *, run_id: str) -> str:
    """The version's page, Markdown: the decision, the figures, the gates and the report of `export`."""
    figures, words = candidate.figures, {True: "yes", False: "**no**"}
    ratio = f"{figures.fcd / figures.fcd_floor:.2f} × its real-against-real floor {figures.fcd_floor:.4f}"
    plain = ((key, value) for key, value in candidate.export.items() if isinstance(value, str | int | float))
    lines = [
        f"Registered as **{decision.alias}**: {decision.reason}.\n",
        f"fcd **{figures.fcd:.4f}**, {ratio}, on {figures.num_samples:,} samples. Trained by run `{run_id}`.\n",
        "| gate | value | bound | passed |\n|---|---|---|---|",
        *(f"| {each.name} | {each.value:.4g} | {each.bound:.4g} | {words[each.passed]} |" for each in candidate.gates),
        "\nExport:\n",
        *(f"- {key}: `{value}`" for key, value in plain),
    ]
    return "\n".join(lines)
