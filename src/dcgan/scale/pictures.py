"""What a person looks at after a sweep: the table of trials, the importance of parameters, parallel coordinates."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib import colormaps
from matplotlib.colors import LogNorm

from dcgan.figures.drawing import label_axes, new_figure, save_figure, save_table
from dcgan.scale.params_patch import as_yaml
from dcgan.scale.results import TrialRecord, best_of, read_trials
from dcgan.scale.space import Space
from dcgan.scale.sweep_folder import Sweep
from dcgan.system.files import write_bytes

TABLE, IMPORTANCE, COORDINATES, PATCH = "trials.csv", "importance.png", "parallel_coordinates.png", "best.yaml"
FEWEST_TRIALS = 3
"""With fewer results, nothing can be said of what mattered."""
COLORS = "viridis"


def save_results(sweep: Sweep) -> list[Path]:
    """Write what came of a sweep so far into its folder; the files, of which the pictures need a few results."""
    trials = read_trials(sweep)
    save_table(sweep.results / TABLE, *table_of(sweep.space, trials))
    if best := best_of(trials):
        write_bytes(sweep.results / PATCH, as_yaml(best.values).encode())
    measured = [trial for trial in trials if trial.outcome and trial.result is not None]
    if len(measured) >= FEWEST_TRIALS:
        save_importance(sweep.results / IMPORTANCE, importance_of(sweep, measured))
        save_coordinates(sweep.results / COORDINATES, sweep.space, measured)
    return [path for name in (TABLE, PATCH, IMPORTANCE, COORDINATES) if (path := sweep.results / name).is_file()]


def table_of(space: Space, trials: Sequence[TrialRecord]) -> tuple[list[str], Sequence[Sequence[object]]]:
    """Columns and rows: a trial a row, the best first, those without a result last."""
    columns = ["trial", "outcome", "fcd_over_floor", "images", *space.domains, "failure"]
    ranked = sorted(trials, key=lambda trial: math.inf if trial.result is None else trial.result)
    rows = [
        [
            trial.number,
            trial.outcome.kind if trial.outcome else "unfinished",
            "" if trial.result is None else round(trial.result, 4),
            trial.images,
            *(trial.values[name] for name in space.domains),
            trial.outcome.message if trial.outcome else "",
        ]
        for trial in ranked
    ]
    return columns, rows


def importance_of(sweep: Sweep, trials: Sequence[TrialRecord]) -> dict[str, float]:
    """The share of the results' variance that Optuna's fANOVA ascribes to each parameter, the largest first.

    Parameters of which all trials have the same value are left out; so are all, if all results are equal.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study, names = optuna.create_study(), sweep.space.domains
    varied = [name for name in names if len({trial.values[name] for trial in trials}) > 1]
    if not varied or len({trial.result for trial in trials}) == 1:
        return {}
    distributions = {name: sweep.space.distributions[name] for name in varied}
    for trial in trials:
        params = {name: trial.values[name] for name in varied}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=trial.result))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def save_importance(path: Path, importance: Mapping[str, float]) -> None:
    """Draw a bar for each parameter, the most important on top."""
    figure, axes = new_figure(7, 1.2 + 0.4 * max(len(importance), 1))
    axes.barh(list(importance)[::-1], list(importance.values())[::-1], color="tab:blue")
    label_axes(axes, title="What the results depend on", x="share of the variance of fcd ÷ floor (fANOVA)", y="")
    axes.set_xlim(0, 1)
    save_figure(path, figure)


def save_coordinates(path: Path, space: Space, trials: Sequence[TrialRecord]) -> None:
    """Draw a line for each trial through its values and its result, the best darkest and in front."""
    results = [trial.result or 0.0 for trial in trials]
    norm = LogNorm(min(results), max(*results, min(results) * 1.001))
    names = [*space.domains, "fcd ÷ floor"]
    figure, axes = new_figure(1.9 * len(names) + 1, 4.5)
    for trial in sorted(trials, key=lambda trial: -(trial.result or 0.0)):
        height = float(norm(trial.result or 0.0))
        heights = [*(domain.place(trial.values[name]) for name, domain in space.domains.items()), height]
        style = "-" if trial.outcome and trial.outcome.kind == "finished" else ":"
        axes.plot(range(len(names)), heights, style, color=colormaps[COLORS](height), linewidth=1.5)
    ends = [(domain.ends[0], domain.ends[-1]) for domain in space.domains.values()]
    for place, (bottom, top) in enumerate([*ends, (norm.vmin, norm.vmax)]):
        axes.axvline(place, color="0.7", linewidth=0.8, zorder=0)
        for height, value in ((-0.05, bottom), (1.03, top)):
            text = f"{value:.3g}" if isinstance(value, float) else str(value)
            axes.annotate(text, (place, height), ha="center", va="center", fontsize=8)
    label_axes(axes, title="Trials: solid to the end, dotted stopped early", x="", y="")
    axes.grid(visible=False)
    axes.set(ylim=(-0.1, 1.1), yticks=[])
    axes.set_xticks(range(len(names)), [name.replace(".", ".\n") for name in names], fontsize=8)
    axes.spines[["bottom", "left"]].set_visible(False)
    save_figure(path, figure)
