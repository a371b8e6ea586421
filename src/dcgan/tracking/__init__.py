"""Where a training's record goes: history on disk, MLflow's runs and registry."""
