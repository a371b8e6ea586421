"""A sweep from its beginning, or from where it was interrupted, to its end; only what is missing is done."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dcgan.config.params_file import changed, load_params
from dcgan.config.workspace import PARAMS
from dcgan.scale.cluster import THIS_MACHINE, connected, has_gpu, on_each_machine, refuse_too_large
from dcgan.scale.params_patch import write_values
from dcgan.scale.results import TrialRecord, best_of, missing_repeats, read_trials, require_best
from dcgan.scale.space import Space, load_space
from dcgan.scale.sweep_folder import Options, Sweep, digests_of_inputs, has_begun, load_sweep, lock_of, new_sweep
from dcgan.scale.sweep_sync import SweepSync, status_of, sync_sweep
from dcgan.system.errors import DcganError, Interrupted, UsageError
from dcgan.system.locks import exclusive
from dcgan.system.signals import StopRequest, stop_on_signals

DEFAULT_GPUS = 0.25
"""Share of a GPU that a trial gets where there is one."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asks of a sweep."""

    name: str
    space: Path
    is_space_named: bool
    """Whether the user named the file; else that of a sweep that has begun may be another one."""
    options: Mapping[str, Any]
    """Those of `Options` that were given."""
    address: str | None
    seeds: int
    """With how many other seeds the best is to be trained."""

    def refuse_other(self, sweep: Sweep) -> None:
        """Raise UsageError if the sweep has begun with other options or another search space than are asked for now."""
        began = asdict(sweep.options)
        for option, value in self.options.items():
            if began[option] != value:
                flag = f"--{option.replace('_', '-')}"
                raise UsageError(
                    f"{flag}: the sweep {self.name} began with {began[option]}, not {value}; leave it out, or take"
                    " another --name"
                )
        if self.is_space_named and load_space(self.space, sweep.params).content != sweep.content:
            raise UsageError(f"{self.space}: the sweep {self.name} began with another one; take another --name")


def run_sweep(request: Request) -> Sweep:
    """Do what a sweep lacks, and bring MLflow up to date; returns the sweep, which is complete.

    Raises:
        UsageError, BadDataError: nothing has been started.
        UnavailableError: the cluster cannot be reached, or one of its machines does not have the workspace.
        BusyError: another process works on the sweep.
        DivergedError: all trials failed.
        Interrupted: stopped; the same command goes on.
    """
    params = load_params(PARAMS, needs_files=False)
    if not has_begun(request.name):
        load_space(request.space, params)  # before the lock creates a folder
        digests_of_inputs()
    with exclusive(lock_of(request.name)):
        sweep = load_sweep(request.name) if has_begun(request.name) else None
        if sweep:
            request.refuse_other(sweep)
            if not is_missing(sweep, seeds=request.seeds):
                _sync_once(sweep)
                return sweep
            sweep.refuse_changes(params)
        address = request.address or THIS_MACHINE
        with stop_on_signals() as early, connected(address) as ray, stop_on_signals() as stop:
            stop.signal_number = early.signal_number  # Ray puts a handler of its own in between
            sweep = sweep or _begin(request, load_space(request.space, params), ray)
            refuse_too_large(ray, cpus=sweep.options.cpus_per_trial, gpus=sweep.options.gpus_per_trial)
            _work(sweep, request, ray, stop)
    return sweep


def is_missing(sweep: Sweep, *, seeds: int) -> bool:
    """Whether a trial has not ended, or the best was not trained with so many other seeds."""
    trials = read_trials(sweep)
    best = best_of(trials)
    return _num_ended(trials) < sweep.options.trials or bool(best and missing_repeats(sweep, best, count=seeds))


def apply_best(values: Mapping[str, Any]) -> None:
    """Write the values of the best trial into params.yaml.

    Raises:
        UsageError: they do not go with what it holds by now.
        CannotCreateError, StorageError: it is as it was.
    """
    changed(load_params(PARAMS, needs_files=False), values)
    write_values(values, PARAMS)


def _begin(request: Request, space: Space, ray: Any) -> Sweep:
    params = load_params(PARAMS, needs_files=False)
    gpus = DEFAULT_GPUS if has_gpu(ray) and params.train.device != "cpu" else 0.0
    options = Options(**{"gpus_per_trial": gpus, **request.options})
    return new_sweep(request.name, space=space, params=params, options=options)


def _work(sweep: Sweep, request: Request, ray: Any, stop: StopRequest) -> None:
    """Search, then repeat the best, with MLflow kept up to date."""
    from dcgan.scale.pictures import save_results
    from dcgan.scale.repeats import repeat
    from dcgan.scale.search import search
    from dcgan.scale.trial import enter

    if request.address:
        on_each_machine(ray, enter, str(Path.cwd()), sweep.name)
    with SweepSync(sweep):
        if _num_ended(read_trials(sweep)) < sweep.options.trials:
            search(sweep, stop=stop)
            save_results(sweep)
            _refuse_interruption(sweep, stop, is_complete=_num_ended(read_trials(sweep)) >= sweep.options.trials)
        best = require_best(sweep)
        if request.seeds:
            is_complete = repeat(sweep, best, count=request.seeds, ray=ray, stop_requested=stop)
            _refuse_interruption(sweep, stop, is_complete=is_complete)


def _refuse_interruption(sweep: Sweep, stop: StopRequest, *, is_complete: bool) -> None:
    if is_complete:
        return
    trials = read_trials(sweep)
    done = f"{_num_ended(trials)} of {sweep.options.trials} trials have ended"
    message = f"sweep {sweep.name}: stopped and saved, {done}; run the same command again to go on"
    stop.raise_if_made(message)
    raise Interrupted(message)


def _num_ended(trials: list[TrialRecord]) -> int:
    return sum(trial.outcome is not None for trial in trials)


def _sync_once(sweep: Sweep) -> None:
    """Send MLflow what it lacks of a sweep that is complete; a warning if it cannot be reached."""
    from dcgan.tracking.store import open_store

    try:
        with open_store() as client:
            sync_sweep(client, sweep, status=status_of(sweep))
    except DcganError as error:
        print(f"warning: {error}; {SweepSync.later}", file=sys.stderr)
