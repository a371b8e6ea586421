"""The progress bar, which also tells why a training has become slow."""

from dcgan.tracking.progress import ProgressBar


def test_a_fall_to_a_third_of_the_highest_speed_is_told_once_with_the_load(capsys):
    with ProgressBar("train", end=100) as bar:
        for step, speed in enumerate([500.0, 1700.0, 600.0], start=1):
            bar.log_timings({"train/images_per_second": speed}, step=step)
        assert "warning" not in capsys.readouterr().err
        for step, speed in enumerate([500.0, 100.0], start=4):
            bar.log_timings({"train/images_per_second": speed}, step=step)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert all(part in line for part in ("500 images/s", "1,700", "load", "train.threads"))
