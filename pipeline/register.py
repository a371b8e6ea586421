"""Stage `register`: MLflow gets the model's run and the ONNX model; the gates decide on the alias champion."""

if __name__ == "__main__":
    import dcgan.system.start  # noqa: F401 it has an effect

import dataclasses

from dcgan.config.params_file import load_params
from dcgan.config.workspace import LOCK, PARAMS, REGISTRATION, RESULTS
from dcgan.system.advice import print_next_steps
from dcgan.system.errors import BadDataError
from dcgan.system.exit import run_stage
from dcgan.system.files import write_json
from dcgan.system.locks import exclusive
from dcgan.tracking.gates import failed_gates
from dcgan.tracking.provenance import GENERATOR_SHA256
from dcgan.tracking.record import read_model
from dcgan.tracking.registry import read_candidate, register
from dcgan.tracking.store import open_store, tracking_uri
from dcgan.tracking.sync import sync_run


def main() -> None:
    """Register models/generator.onnx and decide on its alias by the gates; write reports/registration.json.

    With gates.on_failure: fail, a failed gate ends the stage with exit code 65, after the version was registered.
    """
    params = load_params(PARAMS, needs_files=False)
    name = params.tracking.registered_model
    with exclusive(LOCK):
        candidate, record = read_candidate(params), read_model(params)
        with open_store() as client:
            run_id, _ = sync_run(client, record, experiment=params.tracking.experiment)
            version, decision = register(client, candidate, name=name, run_id=run_id, step=record.last_step)

    told = f"{name} version {version} is {decision.alias}: {decision.reason}"
    if failed_gates(candidate.gates) and params.gates.on_failure == "fail":
        raise BadDataError(f"{told}; so the stage fails, as gates.on_failure in {PARAMS} asks for")

    # Version, alias and run are the registry's: another one may give others, and so may a later decision.
    gates = [dataclasses.asdict(gate) for gate in candidate.gates]
    report = {"model": name, GENERATOR_SHA256: candidate.hashes[GENERATOR_SHA256], "gates": gates}
    write_json(REGISTRATION, report)
    print(told)
    print_next_steps(RESULTS, store=tracking_uri())


if __name__ == "__main__":
    run_stage(main)
