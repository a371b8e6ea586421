"""Stage `register`: the ONNX model goes into MLflow's registry; the alias champion has to be earned."""

import dataclasses
from pathlib import Path

from dcgan.config.params_file import load_params
from dcgan.system.exit import run_stage
from dcgan.system.files import read_json, write_json
from dcgan.tracking.gates import Judgement, apply_gates, decide
from dcgan.tracking.mlflow.registry import Registry
from dcgan.tracking.mlflow.version_page import champion_from, note_of, tags_of
from dcgan.tracking.sync import bring_up_to_date

MODEL = Path("models/generator.onnx")
EVALUATION, EXPORT = Path("reports/evaluation.json"), Path("reports/export.json")


def main() -> None:
    """Register models/generator.onnx and decide on its alias by the gates; write reports/registration.json."""
    params = load_params(Path("params.yaml"))
    judgement = Judgement.from_report(read_json(EVALUATION, made_by="evaluate"), path=EVALUATION)
    export = read_json(EXPORT, made_by="export")
    gates = apply_gates(params.gates, judgement)

    run = bring_up_to_date(params, to="export", required=True)
    registry = Registry(run, params.tracking.registered_model)
    version = registry.register(MODEL)
    verdict = decide(gates, judgement, champion_from(registry.champion()), version=version)
    note = note_of(judgement, gates, verdict, export=export, run_id=run.run_id)
    registry.describe(version, tags=tags_of(judgement, gates, verdict), note=note)
    registry.award(version, verdict.alias)

    report = {"model": registry.name, "version": version, **dataclasses.asdict(verdict)}
    write_json(Path("reports/registration.json"), report | {"gates": [dataclasses.asdict(gate) for gate in gates]})
    print(f"{registry.name} version {version} is {verdict.alias}: {verdict.reason}")


if __name__ == "__main__":
    run_stage(main)
