"""Models that the registry knows, fetched by their address: `models:/NAME@ALIAS` or `models:/NAME/VERSION`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from dcgan.system.errors import BadDataError
from dcgan.system.redaction import redacted
from dcgan.tracking.failures import is_missing
from dcgan.tracking.store import open_store, registry_uri

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException

REGISTER = "`dcgan sync`, in the workspace where it was exported, registers it"
LIST = "`dcgan versions` lists those that there are"
ALIASED = re.compile(r"models:/([^/@]+)@([^/@]+)")
"""Which version such an address leads to may change; that of a number does not."""
NUMBERED = re.compile(r"models:/[^/@]+/(\d+)")


def download_model(address: str, folder: Path) -> Path:
    """Fetch a registered ONNX model into `folder`, and return the path of its file.

    Raises:
        BadDataError: the registry has no such model, or it is no single ONNX file.
        DcganError: as `open_store`.
    """
    with open_store() as client:
        import mlflow
        from mlflow.exceptions import MlflowException

        mlflow.set_tracking_uri(client.tracking_uri)
        try:
            fetched = Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=str(folder)))
        except MlflowException as error:
            if not _is_absent(error):
                raise
            raise BadDataError(no_such_model(address, REGISTER)) from error
    files = sorted(fetched.rglob("*.onnx"))
    if len(files) != 1:
        raise BadDataError(f"{address}: holds {len(files)} ONNX files, expected one; {REGISTER}")
    return files[0]


def find_version(address: str) -> str | None:
    """The number of the version that an address leads to now; None where it names neither an alias nor a number.

    Raises:
        BadDataError: the registry has no such model, or no such alias of it.
        DcganError: as `open_store`.
    """
    if numbered := NUMBERED.fullmatch(address):
        return numbered[1]
    if (aliased := ALIASED.fullmatch(address)) is None:
        return None
    with open_store() as client:
        from mlflow.exceptions import MlflowException

        try:
            return str(client.get_model_version_by_alias(*aliased.groups()).version)
        except MlflowException as error:
            if not _is_absent(error):
                raise
            raise BadDataError(no_such_model(address, REGISTER if is_missing(error) else LIST)) from error


def at_version(address: str, number: str) -> str:
    """The address of a version, from one that may name an alias."""
    return re.sub(r"[@/][^@/]+$", f"/{number}", address)


def _is_absent(error: "MlflowException") -> bool:
    """Whether there is no such model, or no such alias of it."""
    return is_missing(error) or error.error_code == "INVALID_PARAMETER_VALUE"


def no_such_model(name: str, way_out: str) -> str:
    """What to say of a name or an address that the registry does not have."""
    return f"{name}: the registry at {redacted(registry_uri())} has no such model; {way_out}"
