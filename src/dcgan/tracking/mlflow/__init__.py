"""MLflow: one run a trained model, opened by `train`, to which later stages add; `registry` holds the models."""

from dcgan.tracking.mlflow.opening import open_run, resume_run
from dcgan.tracking.mlflow.reference import RunReference, load_run_reference, save_run_reference
from dcgan.tracking.mlflow.run import MlflowRun

__all__ = ["MlflowRun", "RunReference", "load_run_reference", "open_run", "resume_run", "save_run_reference"]
