"""What a sweep leaves on disk: the best of it, its tables and pictures, and its runs in MLflow; no Ray is started."""

import json
from pathlib import Path

import pytest
import yaml

import tracking_store as tracked
from dcgan.config.params_file import changed, load_params
from dcgan.config.workspace import CLASSIFIER, PARAMS
from dcgan.scale.driver import Request, apply_best, is_missing
from dcgan.scale.outcome import Outcome
from dcgan.scale.pictures import importance_of, save_results
from dcgan.scale.report import result_lines
from dcgan.scale.results import best_of, missing_repeats, read_repeats, read_trials
from dcgan.scale.space import parse_space
from dcgan.scale.sweep_folder import Options, Sweep, load_sweep, new_sweep
from dcgan.scale.sweep_sync import sync_sweep
from dcgan.system.errors import BadDataError, DivergedError, UsageError
from dcgan.system.files import write_bytes, write_json
from dcgan.tracking.jsonl import JsonlTracker
from dcgan.tracking.provenance import describe_training
from dcgan.tracking.store import open_store
from scale_sweeps import SPACE
from tracking_store import dcgan_sync

RATE, R1 = SPACE["space"]
FLOOR = 0.5


@pytest.fixture
def sweep(tracked_workspace) -> Sweep:
    """One of four trials that has just begun."""
    write_bytes(CLASSIFIER, b"classifier")
    params = load_params(PARAMS)
    return new_sweep("default", space=parse_space(SPACE, params), params=params, options=Options(trials=4))


def write_trial(
    folder: Path, sweep: Sweep, number: int, results: list[float], *, kind: str | None = "finished", **values: float
) -> None:
    """What a trial leaves: evaluations after every ten steps, as multiples of the floor."""
    values = {RATE: 1e-3 * number, R1: 0.01 * number} | values
    params = sweep.params_of(values)
    write_json(folder / "trial.json", {"number": number, "values": values})
    describe_training(folder / "training", params=params, config=params.gan)
    with JsonlTracker(folder / "training", resume_from_step=0) as tracker:
        for step, result in enumerate(results):
            figures = {"train/quick_fcd": result * FLOOR, "train/quick_fcd_floor": FLOOR}
            tracker.log_metrics(figures, step=10 * step)
    if kind:
        Outcome(kind=kind, message="training diverged" if kind == "failed" else "").save(folder)


def write_trials(sweep: Sweep) -> None:
    """Two that finished, one that was stopped while it was better than both, and one that failed."""
    for number, (kind, results) in enumerate(
        [("finished", [9, 4, 3]), ("finished", [9, 3, 2]), ("stopped", [8, 1]), ("failed", [9, 1])], start=1
    ):
        write_trial(sweep.trial_folder(f"id{number}"), sweep, number, results, kind=kind)


def test_the_best_is_one_that_came_to_its_end(sweep):
    write_trials(sweep)
    trials = read_trials(sweep)
    assert [trial.result for trial in trials] == [3, 2, 1, None]
    assert best_of(trials).number == 2
    assert best_of(trials[2:]).number == 3, "if none finished, the one that came furthest"
    assert best_of(trials[3:]) is None
    assert trials[0].images == 20 * sweep.params.train.batch_size


def test_with_keep_best_a_trial_counts_by_its_best_evaluation(tracked_workspace):
    write_bytes(CLASSIFIER, b"classifier")
    params = changed(load_params(PARAMS), {"train.keep": "best"})
    sweep = new_sweep("default", space=parse_space(SPACE, params), params=params, options=Options(trials=1))
    write_trial(sweep.trial_folder("id"), sweep, 1, [9, 2, 5])
    assert read_trials(sweep)[0].result == 2


def test_a_sweep_is_complete_when_all_trials_and_repeats_have_ended(sweep):
    write_trials(sweep)
    assert not is_missing(sweep, seeds=0)
    assert is_missing(sweep, seeds=2)
    best = best_of(read_trials(sweep))
    for seed in missing_repeats(sweep, best, count=2):
        write_trial(sweep.repeat_folder(seed), sweep, seed, [9, 2 + seed], **best.values, **{"train.seed": seed})
    assert not is_missing(sweep, seeds=2)
    assert missing_repeats(sweep, best, count=3) == [3]
    assert [repeat.number for repeat in read_repeats(sweep, best)] == [1, 2]
    _, lines = result_lines(sweep)
    assert "with 2 other seeds: 3.50 ± 0.71 times its floor" in lines


def test_the_result_lists_failures_and_is_a_patch(sweep):
    write_trials(sweep)
    values, lines = result_lines(sweep)
    assert lines[0] == "trial 4 failed: training diverged"
    assert lines[1].startswith("best: trial 2 of 4, finished after 320 images, quick fcd 2.00 times its floor")
    assert yaml.safe_load(lines[-1]) == {"train": {"generator_learning_rate": 0.002}, "penalties": {"r1": 0.02}}
    before = yaml.safe_load(PARAMS.read_text())
    PARAMS.write_text("# mine\n" + PARAMS.read_text())
    apply_best(values)
    assert PARAMS.read_text().startswith("# mine\n")
    after = yaml.safe_load(PARAMS.read_text())
    assert after == before | {
        "train": before["train"] | {"generator_learning_rate": 0.002},
        "penalties": before["penalties"] | {"r1": 0.02},
    }


def test_nothing_but_the_values_changes_in_params_yaml(sweep):
    text = "# mine\ngates: {two_sample_accuracy: null}  # no gate\npenalties:\n  r1: 0.5 # half\n"
    PARAMS.write_text(text)
    apply_best({R1: 0.02})
    assert PARAMS.read_text() == text.replace("0.5", "0.02")


def test_values_that_do_not_fit_params_yaml_any_more_are_refused_and_nothing_is_written(sweep):
    PARAMS.write_text(PARAMS.read_text().replace("architecture: dcgan", "architecture: infogan"))
    before = PARAMS.read_text()
    with pytest.raises(UsageError, match="infogan"):
        apply_best({R1: 0.1})
    assert PARAMS.read_text() == before


def test_where_all_failed_it_is_70_with_the_first_reason(sweep):
    for number in (1, 2):
        write_trial(sweep.trial_folder(f"id{number}"), sweep, number, [9], kind="failed")
    with pytest.raises(DivergedError, match="all 2 trials failed; the first: training diverged"):
        result_lines(sweep)


def test_tables_and_pictures_show_all_trials(sweep):
    write_trials(sweep)
    names = [path.name for path in save_results(sweep)]
    assert names == ["trials.csv", "best.yaml", "importance.png", "parallel_coordinates.png"]
    lines = (sweep.results / "trials.csv").read_text().splitlines()
    assert lines[0] == f"trial,outcome,fcd_over_floor,images,{RATE},{R1},failure"
    assert [line.split(",")[0] for line in lines[1:]] == ["3", "2", "1", "4"]
    assert lines[-1].endswith("failed,,160,0.004,0.04,training diverged")
    importance = importance_of(sweep, [trial for trial in read_trials(sweep) if trial.result])
    assert set(importance) == {RATE, R1}
    assert sum(importance.values()) == pytest.approx(1)


def test_too_few_results_make_a_table_but_no_pictures(sweep):
    write_trial(sweep.trial_folder("id"), sweep, 1, [9, 3])
    assert [path.name for path in save_results(sweep)] == ["trials.csv", "best.yaml"]


# MLflow


def sync(sweep: Sweep, status: str = "FINISHED") -> None:
    with open_store() as client:
        sync_sweep(client, sweep, status=status)


def parent_and_children() -> tuple:
    (parent,) = (run for run in tracked.runs() if run.info.run_name == "sweep default")
    children = [run for run in tracked.runs() if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    return parent, sorted(children, key=lambda run: run.info.run_name)


def test_mlflow_has_one_parent_and_a_child_for_each_trial_and_nothing_twice(sweep):
    write_trials(sweep)
    save_results(sweep)
    sync(sweep, "RUNNING")
    assert parent_and_children()[0].info.status == "RUNNING"
    sync(sweep)
    sync(sweep)
    parent, children = parent_and_children()
    assert len(tracked.runs()) == 5
    assert parent.info.status == "FINISHED"
    assert [run.info.run_name for run in children] == [f"default: trial {number}" for number in (1, 2, 3, 4)]
    assert [run.info.status for run in children] == ["FINISHED", "FINISHED", "FINISHED", "FAILED"]
    assert [run.data.tags["sweep.outcome"] for run in children] == ["finished", "finished", "stopped", "failed"]
    assert children[3].data.tags["sweep.failure"] == "training diverged"
    metrics = {"best_fcd_over_floor": 2, "best_trial": 2, "trials_finished": 2, "trials_stopped": 1, "trials_failed": 1}
    assert metrics.items() <= parent.data.metrics.items()
    assert tracked.points(parent, "trial_fcd_over_floor") == [(1, 3), (2, 2), (3, 1)]
    assert tracked.points(children[0], "train/quick_fcd") == [(0, 4.5), (10, 2.0), (20, 1.5)]
    assert children[0].data.params[RATE] == "0.001"
    assert tracked.artifacts(parent, "sweep") == sorted(path.name for path in sweep.results.iterdir())
    assert "Best: trial 2" in parent.data.tags["mlflow.note.content"]


def test_a_description_that_people_wrote_is_kept_and_ours_is_brought_up_to_date(sweep):
    write_trials(sweep)
    sync(sweep)
    best = best_of(read_trials(sweep))
    write_trial(sweep.repeat_folder(1), sweep, 1, [9, 3], **best.values, **{"train.seed": 1})
    sync(sweep)
    parent, _ = parent_and_children()
    assert "With 1 other seeds: 3.00" in parent.data.tags["mlflow.note.content"]
    tracked.client().set_tag(parent.info.run_id, "mlflow.note.content", "mine")
    sync(sweep)
    assert parent_and_children()[0].data.tags["mlflow.note.content"] == "mine"


def test_dcgan_sync_sends_a_sweep_that_mlflow_never_heard_of(sweep):
    write_trials(sweep)
    (line,) = dcgan_sync()
    parent, children = parent_and_children()
    assert line.startswith(f"sent the sweep default to run {parent.info.run_id} at ")
    assert (parent.info.status, len(children)) == ("FINISHED", 4)


def test_a_sweep_that_was_killed_is_killed_in_mlflow(sweep):
    write_trial(sweep.trial_folder("id"), sweep, 1, [9], kind=None)
    dcgan_sync()
    parent, (child,) = parent_and_children()
    assert (parent.info.status, child.info.status) == ("KILLED", "KILLED")


# What has begun


def request(**changes: object) -> Request:
    asked = {"name": "default", "space": Path("space.yaml"), "is_space_named": False, "options": {}, "address": None}
    return Request(**asked | {"seeds": 0} | changes)


def test_other_options_or_another_space_than_a_sweep_began_with_are_refused(sweep):
    request(options={"trials": 4}).refuse_other(sweep)
    with pytest.raises(UsageError, match=r"--trials: the sweep default began with 4, not 5; leave it out"):
        request(options={"trials": 5}).refuse_other(sweep)
    Path("space.yaml").write_text(yaml.safe_dump(SPACE))
    request(is_space_named=True).refuse_other(sweep)
    Path("space.yaml").write_text("space: {penalties.r1: [0.1]}")
    with pytest.raises(UsageError, match="began with another one; take another --name"):
        request(is_space_named=True).refuse_other(sweep)


def test_another_params_yaml_is_refused_except_for_what_is_searched(sweep):
    sweep.refuse_changes(changed(sweep.params, {R1: 0.3, "evaluate.num_samples": 150}))
    with pytest.raises(UsageError, match=r"train.epochs is 7, and was 2 when the sweep default began"):
        sweep.refuse_changes(changed(sweep.params, {"train.epochs": 7}))


def test_git_ignores_all_of_it(sweep):
    assert (sweep.folder.parent / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("content", ["{", "{}", json.dumps({"id": "x", "options": {"trial": 3}})])
def test_a_damaged_record_is_65_and_names_its_folder(sweep, content):
    (sweep.folder / "sweep.json").write_text(content)
    with pytest.raises(BadDataError, match=r"\.sweeps/default"):
        load_sweep("default")
