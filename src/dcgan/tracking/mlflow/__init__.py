"""MLflow: one run a trained model, opened by `train`, to which later stages add; `registry` holds the models."""

from dcgan.adapters.mlflow_tracker.opening import open_run, resume_run
from dcgan.adapters.mlflow_tracker.reference import RunReference, load_run_reference, save_run_reference
from dcgan.adapters.mlflow_tracker.run import MlflowRun

__all__ = ["MlflowRun", "RunReference", "load_run_reference", "open_run", "resume_run", "save_run_reference"]
