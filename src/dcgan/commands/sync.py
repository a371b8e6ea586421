"""`dcgan sync`: MLflow gets what it missed of the workspace's model."""

from pathlib import Path

from dcgan.config.params_file import load_params
from dcgan.system.errors import BadDataError
from dcgan.system.locks import exclusive
from dcgan.system.redaction import redacted
from dcgan.tracking.sync import CHECKPOINTS, RUN, bring_up_to_date


def sync_workspace() -> None:
    """Send what MLflow lacks of the model in the current folder, and print what was sent where.

    Raises:
        UsageError: params.yaml is missing or not as it should be.
        BadDataError: nothing was trained here, or a file is damaged.
        BusyError: a training is running here, which sends its points itself.
        UnavailableError: MLflow is missing or cannot be reached.
    """
    params = load_params(Path("params.yaml"))
    if not RUN.is_file():
        raise BadDataError(f"{RUN}: missing, so there is no run to complete; run `dvc repro train` first")
    with exclusive(CHECKPOINTS / "lock"):
        run = bring_up_to_date(params, to="export", required=True)
    points, grids, artifacts = (run.sent[kind] for kind in ("points", "grids", "artifacts"))
    what = f"{points:,} points, {grids:,} grids and {artifacts:,} artifacts"
    print(f"sent {what} to run {run.run_id} at {redacted(run.link.uri)}")
