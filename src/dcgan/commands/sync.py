"""`dcgan sync`: MLflow gets what it lacks of this workspace, its registry included."""

from dcgan.config.params_file import load_params
from dcgan.config.workspace import GENERATOR, LOCK, ONNX_GENERATOR, PARAMS
from dcgan.scale.sweep_folder import sweeps
from dcgan.system.errors import BadDataError
from dcgan.system.locks import exclusive
from dcgan.system.progress import heartbeat
from dcgan.system.redaction import redacted
from dcgan.tracking.record import read_model, unfinished_trainings
from dcgan.tracking.registry import read_candidate, register
from dcgan.tracking.store import open_store
from dcgan.tracking.sync import sync_run


@heartbeat("sync")
def sync_workspace() -> None:
    """Send the unfinished trainings, the model and the sweeps in the current folder; an exported model is registered.

    Raises:
        UsageError: params.yaml is missing or not as it should be.
        BadDataError: nothing was trained here, or a file is damaged.
        BusyError: a training is running here, which sends its points itself, or another sync.
        DcganError: MLflow is missing, cannot be reached or refuses something.
    """
    params = load_params(PARAMS, needs_files=False)
    name = params.tracking.registered_model
    with exclusive(LOCK):
        records = [*unfinished_trainings(), *([read_model(params)] if GENERATOR.is_file() else [])]
        if not records and not any(sweeps()):
            raise BadDataError(f"{GENERATOR}: missing, so there is nothing to send; run `dvc repro train` first")
        is_exported = (
            GENERATOR.is_file() and ONNX_GENERATOR.is_file() and {"evaluation", "export"} <= records[-1].files.keys()
        )
        with open_store() as client:
            for record in records:
                run_id, sent = sync_run(client, record, experiment=params.tracking.experiment)
                what = f"{sent['points']:,} points, {sent['grids']:,} grids and {sent['artifacts']:,} artifacts"
                print(f"sent {what} to run {run_id} at {redacted(client.tracking_uri)}")
            if is_exported:
                candidate = read_candidate(params)
                version, decision = register(client, candidate, name=name, run_id=run_id, step=record.last_step)
                print(f"{name} version {version} is {decision.alias}: {decision.reason}")
            for sweep in sweeps():
                from dcgan.scale.sweep_sync import send_sweep  # imports PyTorch

                print(send_sweep(client, sweep))
