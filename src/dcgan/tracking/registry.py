"""MLflow's model registry: versions of the generator as ONNX, and the aliases `champion` and `challenger`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from dcgan.system.files import sha256_of
from dcgan.tracking.mlflow.onnx_model import input_example_of, load_onnx, signature_of
from dcgan.tracking.mlflow.run import MlflowRun

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion
    from onnx import ModelProto

DESCRIPTION = (
    "Draws handwritten digits. Inputs: `latents` float32 [batch, latent_dim] and, for a conditional model, `labels`"
    " int64 [batch]. Outputs: `images` float32 [batch, 1, 28, 28] in [-1, 1] and `pixels` uint8 [batch, 28, 28]."
)
SHA256 = "onnx_sha256"
VERSIONS = "mlflow.modelVersions"
"""The tag by which MLflow's pages lead from a logged model to its registered version."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One version of a registered model."""

    version: str
    tags: Mapping[str, str]


class Registry:
    """The versions of one registered model, reached through a run that requires MLflow.

    Every method raises UnavailableError if MLflow fails.
    """

    def __init__(self, run: MlflowRun, name: str) -> None:
        self._run = run
        self.name = name

    def champion(self) -> Entry | None:
        """The version that holds the alias champion."""
        return self._run.link.attempt(self._find_champion)

    def register(self, path: Path) -> str:
        """The version of the ONNX file `path`, which is logged to the run; equal bytes are never registered twice.

        Raises:
            BadDataError: the file is missing or no ONNX model.
        """
        model = load_onnx(path)
        sha256 = sha256_of(path)
        found = self._run.link.attempt(lambda client: self._find_or_create(client, model, sha256))
        return str(found)

    def describe(self, version: str, *, tags: Mapping[str, str], note: str) -> None:
        """Set the tags and the page, Markdown, of a version."""
        self._run.link.attempt(lambda client: self._describe(client, version, tags, note))

    def award(self, version: str, alias: str) -> None:
        """Let the alias point to the version; a champion is no challenger any more."""
        self._run.link.attempt(lambda client: self._award(client, version, alias))

    def _find_champion(self, client: "MlflowClient") -> Entry | None:
        found = self._find_by_alias(client, "champion")
        return None if found is None else Entry(version=str(found.version), tags=dict(found.tags))

    def _find_by_alias(self, client: "MlflowClient", alias: str) -> "ModelVersion | None":
        from mlflow.exceptions import MlflowException

        try:
            return client.get_model_version_by_alias(self.name, alias)
        except MlflowException as error:
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise

    def _find_or_create(self, client: "MlflowClient", model: "ModelProto", sha256: str) -> str:
        import mlflow

        # Logging a model and registering it go to the process-wide address, whatever the client's is.
        mlflow.set_tracking_uri(self._run.link.uri)
        run = client.get_run(self._run.run_id)
        model_id = _find_logged(client, run, sha256) or _log(client, run, model, sha256, step=self._run.last_step)
        self._create_name(client)
        found = client.search_model_versions(f"name = '{self.name}' and tags.{SHA256} = '{sha256}'", max_results=1)
        if not found:
            source = f"models:/{model_id}"
            tags, run_id = {SHA256: sha256}, run.info.run_id
            found = [client.create_model_version(self.name, source, run_id, tags, model_id=model_id)]
        number = str(found[0].version)
        link = [{"name": self.name, "version": number}]
        client.set_logged_model_tags(model_id, {VERSIONS: json.dumps(link)})
        return number

    def _create_name(self, client: "MlflowClient") -> None:
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(self.name, description=DESCRIPTION)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _describe(self, client: "MlflowClient", version: str, tags: Mapping[str, str], note: str) -> None:
        for key, value in tags.items():
            client.set_model_version_tag(self.name, version, key, value)
        client.update_model_version(self.name, version, note)

    def _award(self, client: "MlflowClient", version: str, alias: str) -> None:
        client.set_registered_model_alias(self.name, alias, version)
        challenger = self._find_by_alias(client, "challenger") if alias == "champion" else None
        if challenger is not None and str(challenger.version) == version:
            client.delete_registered_model_alias(self.name, "challenger")


def _find_logged(client: "MlflowClient", run: "Run", sha256: str) -> str | None:
    """The id of the model with these bytes among those that the run logged."""
    for output in run.outputs.model_outputs if run.outputs else []:
        model = client.get_logged_model(output.model_id)
        if model.tags.get(SHA256) == sha256 and model.status == "READY":
            return str(model.model_id)
    return None


def _log(client: "MlflowClient", run: "Run", model: "ModelProto", sha256: str, *, step: int) -> str:
    """Log the model to the run, in the run's experiment, and return its id."""
    import mlflow.onnx
    from mlflow.models import Model

    logged = client.create_logged_model(
        run.info.experiment_id,
        name="generator",
        source_run_id=run.info.run_id,
        tags={SHA256: sha256},
        params=run.data.params,
    )
    Model.log(
        artifact_path=None,
        flavor=mlflow.onnx,
        run_id=run.info.run_id,
        model_id=logged.model_id,
        step=step,
        onnx_model=model,
        signature=signature_of(model),
        input_example=input_example_of(model),
        pip_requirements=[f"onnxruntime=={_runtime_version()}", f"numpy=={version('numpy')}"],
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
    )
    return str(logged.model_id)


def _runtime_version() -> str:
    """Of ONNX Runtime, whichever of its two packages is installed; production takes the one for its hardware."""
    try:
        return version("onnxruntime-gpu")
    except PackageNotFoundError:
        return version("onnxruntime")
