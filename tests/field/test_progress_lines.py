"""Progress where standard error is a file or a pipe: plain lines, at a pace that does not depend on the steps'."""

import itertools
import re
import sys
import time
from importlib import import_module

import pytest
import torch

from dcgan.config.schema import ClassifierConfig
from dcgan.evaluation.two_sample import two_sample_test
from dcgan.system import progress
from dcgan.system.exit import run_stage
from dcgan.system.progress import ProgressLines, heartbeat
from dcgan.tracking.progress import ProgressBar
from support import CPU


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is moved."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


def lines_of(capsys):
    text = capsys.readouterr().err
    assert "\r" not in text
    assert text == "" or text.endswith("\n")
    return text.splitlines()


@pytest.mark.parametrize("seconds_a_step", [0.01, 3.0, 45.0])
def test_silence_lasts_half_a_minute_or_one_step_however_fast_the_steps_are(clock, capsys, seconds_a_step):
    told_at = [clock.now]
    with ProgressBar("train", end=100_000) as bar:
        for step in range(1, 1 + int(200 / seconds_a_step)):
            clock.now += seconds_a_step
            bar.advance_to(step)
            told_at += [clock.now] * len(lines_of(capsys))
    gaps = [after - before for before, after in itertools.pairwise(told_at)]
    assert max(gaps) <= 30 + seconds_a_step
    assert len(gaps) >= min(6, 200 // seconds_a_step)


def test_a_line_has_the_pace_since_the_line_before_and_the_newest_figures(clock, capsys):
    with ProgressBar("train", end=1000) as bar:
        clock.now += 10
        bar.advance_to(100)  # 10 steps a second
        assert lines_of(capsys) == ["train: step 100 of 1,000, 2 min left"]
        clock.now += 100
        bar.log_metrics({"generator/loss": 0.5}, step=200)  # now one
        assert lines_of(capsys) == ["train: step 200 of 1,000, 13 min left, G 0.500"]
    assert lines_of(capsys) == ["train: step 200 of 1,000, G 0.500"]


def test_going_back_gives_no_time_left(clock, capsys):
    lines = ProgressLines("train", start=500, end=1000)
    clock.now += 60
    lines.advance_to(400)
    assert lines_of(capsys) == ["train: step 400 of 1,000"]


def test_short_work_says_nothing_on_its_way(clock, capsys):
    lines = ProgressLines("evaluate: the classifier", end=10)
    for step in range(10):
        clock.now += 0.4
        lines.advance_to(step)
    assert lines_of(capsys) == []


@pytest.mark.parametrize(
    ("seconds", "shown"), [(5, "5 s left"), (40, "40 s left"), (90, "2 min left"), (7200, "2 h 0 min left")]
)
def test_time_left_is_in_a_unit_for_people(clock, capsys, seconds, shown):
    lines = ProgressLines("train", end=2 * 10**6)
    clock.now += seconds
    lines.advance_to(10**6)
    lines.tell()
    assert re.search(f"{shown}$", lines_of(capsys)[0])


def test_an_evaluation_tells_how_far_its_networks_are(monkeypatch, capsys):
    monkeypatch.setattr(progress, "FIRST_S", 0)
    images = [torch.randint(256, (4, 28, 28), dtype=torch.uint8) for _ in range(4)]
    two_sample_test(tuple(images[:2]), tuple(images[2:]), ClassifierConfig(epochs=2, batch_size=8), device=CPU)
    assert lines_of(capsys)[0] == "evaluate: the test's network: step 1 of 2"


def test_the_first_line_estimates_nothing_from_a_few_steps_which_are_the_slowest(clock, capsys):
    lines = ProgressLines("train", end=100)
    for step in (1, 3):
        clock.now += 30
        lines.advance_to(step)
    assert lines_of(capsys) == ["train: step 1 of 100", "train: step 3 of 100, 24 min left"]


@pytest.fixture
def soon(monkeypatch) -> None:
    """A twentieth of a second of silence counts as long."""
    monkeypatch.setattr(progress, "HEARTBEAT_S", 0.05)


def test_work_that_is_silent_for_long_is_told_to_go_on(soon, capsys):
    with heartbeat("register"):
        time.sleep(0.3)
    told = lines_of(capsys)
    assert 1 <= len(told) <= 6
    assert set(told) == {"register: still at work after 0 s"}
    time.sleep(0.1)
    assert lines_of(capsys) == [], "it has ended"


def test_a_bar_that_moves_is_a_sign_of_life(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with ProgressBar("train", end=40) as bar:
        before = progress.last_sign()
        bar.advance_to(1)
        assert progress.last_sign() > before


def test_of_several_processes_the_first_one_speaks(soon, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    with heartbeat("train"):
        time.sleep(0.2)
    assert lines_of(capsys) == []


def test_a_stage_and_a_command_that_wait_say_so(soon, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pipeline/register.py"])
    with pytest.raises(SystemExit):
        run_stage(lambda: time.sleep(0.2))
    assert lines_of(capsys)[0].startswith("register: still at work")
    for module, command in (("sync", "sync_workspace"), ("doctor", "run_doctor"), ("evaluate", "evaluate_model")):
        assert hasattr(getattr(import_module(f"dcgan.commands.{module}"), command), "__wrapped__")
