"""How good a trial is, after how many images: its quick evaluations, each as a multiple of the floor."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from dcgan.config.schema import TrainConfig
from dcgan.tracking.history import read_history
from dcgan.tracking.jsonl import HISTORY

QUICK_FCD, FLOOR = "train/quick_fcd", "train/quick_fcd_floor"


class Score(NamedTuple):
    """A quick evaluation."""

    step: int
    images: int
    """That the trial has seen by then; steps of batches of different sizes cannot be compared."""
    fcd_over_floor: float
    """Of the networks that the training would save if it ended here."""


class Scores:
    """The evaluations of one training, in their order."""

    def __init__(self, config: TrainConfig, past: Iterable[Score] = ()) -> None:
        self._config = config
        self.all = list(past)

    def add(self, row: Mapping[str, float], *, step: int) -> Score | None:
        """Take up the evaluation in a row of a history; None if it holds none."""
        if not {QUICK_FCD, FLOOR} <= row.keys():
            return None
        value = row[QUICK_FCD] / row[FLOOR]
        if self._config.keep == "best" and self.all:
            value = min(value, self.all[-1].fcd_over_floor)
        self.all.append(Score(step, step * self._config.batch_size, value))
        return self.all[-1]


def read_scores(training: Path, config: TrainConfig) -> list[Score]:
    """The evaluations in the record of a training; none if it has none yet.

    Raises:
        BadDataError: the record is damaged.
    """
    return scores_of(read_history(training / HISTORY), config)


def scores_of(history: Iterable[Mapping[str, float]], config: TrainConfig) -> list[Score]:
    """The evaluations in the rows of a history."""
    scores = Scores(config)
    for row in history:
        scores.add(row, step=int(row["step"]))
    return scores.all
