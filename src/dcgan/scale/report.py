"""The result of a sweep in words."""

from dcgan.scale.params_patch import as_yaml
from dcgan.scale.results import TrialRecord, read_repeats, read_trials, require_best, spread_of
from dcgan.scale.space import Values
from dcgan.scale.sweep_folder import Sweep


def result_lines(sweep: Sweep) -> tuple[Values, list[str]]:
    """The values of the best trial, and the lines that tell them: failures, the best, its spread and the patch.

    Raises:
        DivergedError: all trials failed.
    """
    trials, best = read_trials(sweep), require_best(sweep)
    failed = [trial for trial in trials if trial.outcome and trial.outcome.kind == "failed"]
    lines = [f"trial {trial.number} {trial.summary}" for trial in failed]
    lines += [f"best: trial {best.number} of {len(trials)}, {best.summary}", *spread_lines(read_repeats(sweep, best))]
    return best.values, [*lines, "", as_yaml(best.values)]


def spread_lines(repeats: list[TrialRecord]) -> list[str]:
    """Of the best with other seeds: mean and standard deviation; failed ones are counted."""
    if not repeats:
        return []
    failed = sum(repeat.result is None for repeat in repeats)
    told = f"; {failed} failed" if failed else ""
    if failed == len(repeats):
        return [f"with {len(repeats)} other seeds: all failed"]
    mean, deviation = spread_of(repeats)
    return [f"with {len(repeats)} other seeds: {mean:.2f} ± {deviation:.2f} times its floor{told}"]
