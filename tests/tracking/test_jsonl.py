import errno
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from dcgan.system.errors import BadDataError, StorageError
from dcgan.tracking.history import read_history
from dcgan.tracking.jsonl import JsonlTracker, Point, read_events, read_points

GRID = np.arange(28 * 56, dtype=np.uint8).reshape(28, 56)


def record(folder, steps, **options):
    with JsonlTracker(folder, **options) as tracker:
        for step in steps:
            tracker.log_metrics({"generator/loss": step / 10}, step=step)
            tracker.log_samples(GRID, step=step)


def recorded(folder):
    steps = [row["step"] for row in read_history(folder / "training/history.jsonl")]
    return steps, [path.name for path in sorted((folder / "training/samples").iterdir())]


def test_each_report_is_one_line_at_once(tmp_path):
    with JsonlTracker(tmp_path, resume_from_step=0) as tracker:
        tracker.log_metrics({"generator/loss": 0.5, "discriminator/loss": 1.25}, step=50)
        text = (tmp_path / "training/history.jsonl").read_text()
    assert text == '{"step": 50, "generator/loss": 0.5, "discriminator/loss": 1.25}\n'


def test_a_grid_is_written_at_twice_its_size(tmp_path):
    record(tmp_path, [937], resume_from_step=0)
    with Image.open(tmp_path / "training/samples" / "step-0000937.png") as image:
        pixels = np.asarray(image)
    assert pixels.shape == (56, 112)
    np.testing.assert_array_equal(pixels[::2, ::2], GRID)
    np.testing.assert_array_equal(pixels[1::2, 1::2], GRID)


@pytest.mark.parametrize(
    ("first", "again", "resume_from_step", "steps"),
    [([10, 20, 30], [30, 40], 20, [10, 20, 30, 40]), ([0, 10, 20], [0, 5], 0, [0, 5])],
)
def test_what_came_after_the_checkpoint_is_dropped_and_recorded_again(tmp_path, first, again, resume_from_step, steps):
    record(tmp_path, first, resume_from_step=0)
    record(tmp_path, again, resume_from_step=resume_from_step)
    assert recorded(tmp_path) == (steps, [f"step-{step:07d}.png" for step in steps])


def test_a_torn_last_line_is_dropped(tmp_path):
    record(tmp_path, [10, 20], resume_from_step=0)
    path = tmp_path / "training/history.jsonl"
    whole = path.read_bytes()
    for length in range(len(whole) // 2 + 1, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert [row["step"] for row in read_history(path)] == [10]
    path.write_bytes(whole[:-5])
    record(tmp_path, [20], resume_from_step=20)
    assert path.read_bytes() == whole


def test_damage_before_the_last_line_is_named(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text('{"step": 10}\n{"st\n{"step": 30}\n')
    with pytest.raises(
        BadDataError, match=r"history\.jsonl: line 2 is no row; run `dvc repro --force --single-item train`"
    ):
        read_history(path)


def test_the_published_copy_shows_the_same_after_its_folder_was_emptied(tmp_path):
    kept, published = tmp_path / "kept", tmp_path / "published"
    record(kept, [10, 20, 30], resume_from_step=0, publish_to=published)
    assert recorded(published) == recorded(kept)
    shutil.rmtree(published)
    (published / "training/samples").mkdir(parents=True)
    (published / "training/samples/step-0000015.png").touch()  # of another training
    record(kept, [40], resume_from_step=20, publish_to=published)
    assert recorded(kept) == ([10, 20, 40], [f"step-00000{step}.png" for step in (10, 20, 40)])
    assert recorded(published) == recorded(kept)
    assert (published / "training/history.jsonl").read_bytes() == (kept / "training/history.jsonl").read_bytes()


def test_a_number_that_is_not_finite_is_refused(tmp_path):
    with JsonlTracker(tmp_path, resume_from_step=0) as tracker, pytest.raises(ValueError, match="not JSON compliant"):
        tracker.log_metrics({"generator/loss": float("nan")}, step=1)


def test_a_full_disk_is_told_in_one_line(tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    with JsonlTracker(tmp_path, resume_from_step=0) as tracker:
        monkeypatch.setattr("dcgan.tracking.jsonl.json.dumps", fail)
        with pytest.raises(StorageError, match=r"history\.jsonl: no space left"):
            tracker.log_metrics({"generator/loss": 1.0}, step=1)


def test_what_differs_between_equal_runs_is_kept_apart_and_read_with_its_times(tmp_path):
    kept, published = tmp_path / "kept", tmp_path / "published"
    with JsonlTracker(kept, resume_from_step=0, publish_to=published) as tracker:
        for step in (10, 20):
            tracker.log_metrics({"generator/loss": step / 10}, step=step)
            tracker.log_timings({"train/images_per_second": 99.0}, step=step)
    assert "per_second" not in (published / "training/history.jsonl").read_text()
    assert (kept / "timings.jsonl").read_bytes() == (published / "timings.jsonl").read_bytes()
    timings = [json.loads(line) for line in (kept / "timings.jsonl").read_text().splitlines()]
    first = timings[0]["time_ms"]
    points = read_points(published, with_timings=True)
    assert points[0] == Point("generator/loss", 1.0, 10, first)
    assert points[2] == Point("train/images_per_second", 99.0, 10, first), "a step has one time"
    assert [point.time_ms for point in read_points(published, with_timings=False)] == [None, None]
    with JsonlTracker(kept, resume_from_step=10, publish_to=published):
        pass
    assert {point.step for point in read_points(kept, with_timings=True)} == {10}


def test_events_stay_when_a_training_goes_back_and_go_when_it_starts_afresh(tmp_path):
    kept, published = tmp_path / "kept", tmp_path / "published"
    with JsonlTracker(kept, resume_from_step=0, publish_to=published) as tracker:
        tracker.log_event("collapse", "at step 5")
        tracker.rewind(0)
        tracker.log_event("collapse", "at step 10")
    for folder in (kept, published):
        assert read_events(folder) == {"collapse": "at step 10"}
    with JsonlTracker(kept, resume_from_step=10, publish_to=published):
        assert read_events(published) == {"collapse": "at step 10"}
    with JsonlTracker(kept, resume_from_step=0, publish_to=published):
        assert read_events(published) == read_events(kept) == {}
