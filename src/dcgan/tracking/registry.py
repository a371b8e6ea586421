"""MLflow's model registry: versions of the generator as ONNX, and the aliases `champion` and `challenger`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from dcgan.config.schema import Params
from dcgan.config.workspace import EVALUATION, EXPORT, GENERATOR, ONNX_GENERATOR
from dcgan.system.errors import BadDataError
from dcgan.system.files import read_json, sha256_of
from dcgan.tracking.gates import Decision, EvaluationFigures, GateResult, apply_gates, decide
from dcgan.tracking.onnx_model import load_onnx, signature_and_example
from dcgan.tracking.provenance import GENERATOR_SHA256
from dcgan.tracking.version_page import champion_from, note_of, tags_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from onnx import ModelProto

DESCRIPTION = (
    "Generates handwritten digits. Inputs: `latents` float32 [batch, latent_dim] and, for a conditional model, `labels`"
    " int64 [batch]. Outputs: `images` float32 [batch, 1, 28, 28] in [-1, 1] and `pixels` uint8 [batch, 28, 28]."
)


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

    Args:
        client: of the registry.
        candidate: the model.
        name: of the registered model.
        run_id: of its training, which gets the ONNX file.
        step: the last one of its training.

    Returns:
        The number of its version, whose page is up to date then, and the decision.
    """
    conditions = [f"name = '{name}'", *(f"tags.{tag} = '{value}'" for tag, value in candidate.hashes.items())]
    found = client.search_model_versions(" and ".join(conditions), max_results=1)
    number = str(found[0].version) if found else _log_and_register(client, candidate, name, run_id, step)
    present = _find_by_alias(client, name, "champion")
    champion = champion_from(str(present.version), present.tags) if present else None
    decision = decide(candidate.gates, candidate.figures, champion, version=number)
    for key, value in tags_of(candidate, decision).items():
        client.set_model_version_tag(name, number, key, value)
    client.update_model_version(name, number, note_of(candidate, decision, run_id=run_id))
    client.set_registered_model_alias(name, decision.alias, number)
    challenger = _find_by_alias(client, name, "challenger")
    if decision.alias == "champion" and challenger and str(challenger.version) == number:
        client.delete_registered_model_alias(name, "challenger")
    return number, decision


def _find_by_alias(client: "MlflowClient", name: str, alias: str) -> "ModelVersion | None":
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise


def _log_and_register(client: "MlflowClient", candidate: Candidate, name: str, run_id: str, step: int) -> str:
    """Log the model to the run, in the run's experiment, and register it; the new version's number."""
    import mlflow.onnx
    from mlflow.models import Model

    mlflow.set_tracking_uri(client.tracking_uri)  # `Model.log` takes no client
    signature, example = signature_and_example(ONNX_GENERATOR)
    run = client.get_run(run_id)
    experiment_id, params = run.info.experiment_id, run.data.params
    logged = client.create_logged_model(experiment_id, name="generator", source_run_id=run_id, params=params)
    registered = Model.log(
        artifact_path=None,
        flavor=mlflow.onnx,
        registered_model_name=name,
        run_id=run_id,
        model_id=logged.model_id,
        step=step,
        tags=dict(candidate.hashes),
        onnx_model=candidate.model,
        signature=signature,
        input_example=example,
        pip_requirements=[f"onnxruntime=={_runtime_version()}", f"numpy=={version('numpy')}"],
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
    )
    client.update_registered_model(name, DESCRIPTION)
    return str(registered.registered_model_version)


def _runtime_version() -> str:
    """Of ONNX Runtime, whichever of its two packages is installed; production takes the one for its hardware."""
    try:
        return version("onnxruntime-gpu")
    except PackageNotFoundError:
        return version("onnxruntime")
