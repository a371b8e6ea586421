"""The best of a sweep with other seeds: how far its result depends on luck, which the search has favoured."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from dcgan.scale.outcome import Outcome
from dcgan.scale.results import SEED, TrialRecord, missing_repeats, read_repeats
from dcgan.scale.sweep_folder import TRIAL, Sweep
from dcgan.scale.trial import run_repeat
from dcgan.system.errors import DcganError
from dcgan.system.files import write_json
from dcgan.system.progress import ProgressLines

MAX_RETRIES = 3
SECONDS_BETWEEN_LOOKS = 0.5


def repeat(sweep: Sweep, best: TrialRecord, *, count: int, ray: Any, stop_requested: Callable[[], bool]) -> bool:
    """Train the best with as many other seeds, as tasks of Ray's; returns whether all have ended."""
    from ray.exceptions import RayError

    options = sweep.options
    task = ray.remote(num_cpus=options.cpus_per_trial, num_gpus=options.gpus_per_trial, max_retries=MAX_RETRIES)(
        partial(run_repeat, workspace_path=str(Path.cwd()), name=sweep.name)
    )
    running = {}
    for seed in missing_repeats(sweep, best, count=count):
        folder = sweep.repeat_folder(seed)
        write_json(folder / TRIAL, {"number": seed, "values": {**best.values, SEED: seed}})
        running[task.remote(seed, best.values)] = seed
    progress, num_repeats = ProgressLines("sweep", end=len(running), unit="seeds ended:"), len(running)
    while running and not stop_requested():
        progress.advance_to(num_repeats - len(running))
        for done in ray.wait(list(running), timeout=SECONDS_BETWEEN_LOOKS)[0]:
            seed = running.pop(done)
            try:
                ray.get(done)
            except (RayError, DcganError) as error:
                lines = str(error).strip().splitlines()
                Outcome(kind="failed", message=lines[-1]).save(sweep.repeat_folder(seed))
            (record,) = (each for each in read_repeats(sweep, best) if each.number == seed)
            print(f"seed {seed}: {record.summary}", flush=True)
    return not running
