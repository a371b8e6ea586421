import csv
import math

from dcgan.figures.training import save_training

LOSSES = {"discriminator/loss": 1.25, "generator/loss": 0.5}
LOGITS = {"discriminator/real_logits": 2.0, "discriminator/fake_logits": -2.0}
HISTORY = [
    {"step": 0, "train/quick_fcd": math.nan},
    {"step": 10, **LOSSES, **LOGITS, "discriminator/r1": 0.1},
    {"step": 12, "train/quick_fcd": 3.5, "train/quick_fcd_floor": 0.5, "train/label_error": 0.25},
    {"step": 20, **LOSSES, **LOGITS},
]


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_losses_and_quick_fcd_go_into_a_table_each_and_one_picture(tmp_path):
    save_training(tmp_path, HISTORY)
    assert [row["step"] for row in rows(tmp_path / "training.csv")] == ["10", "20"]
    assert rows(tmp_path / "training.csv")[0] == {"step": "10"} | {
        name: str(value) for name, value in (LOSSES | LOGITS).items()
    }
    assert [tuple(row.values()) for row in rows(tmp_path / "quick_fcd.csv")] == [("0", "nan", ""), ("12", "3.5", "0.5")]
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")


def test_a_history_without_rows_gives_tables_without_rows(tmp_path):
    save_training(tmp_path, [])
    assert rows(tmp_path / "training.csv") == rows(tmp_path / "quick_fcd.csv") == []


def test_equal_histories_give_equal_bytes(tmp_path):
    contents = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        save_training(folder, HISTORY)
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1]
