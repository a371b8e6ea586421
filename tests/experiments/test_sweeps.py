"""The zoo and the ablation: what they list, and a run of each on a tiny workspace."""

import pytest
import yaml

from dcgan.config.params_file import params_sha256
from dcgan.config.schema import Params, flatten
from dcgan.system.errors import DcganError
from support import ROOT
from sweep import load_sweep, params_of, read_rows, run_sweep
from tiny_workspace import new_workspace
from zoo import page

EXPERIMENTS = ROOT / "experiments"
ABLATION, ZOO = (load_sweep(EXPERIMENTS / f"{name}.yaml", None) for name in ("ablation", "zoo"))
SMALL = {
    "data.name": "digits",
    "classifier.batch_size": 10,
    "evaluate.num_samples": 100,
    "evaluate.num_seeds": 1,
    "evaluate.num_two_sample": 100,
    "model.latent_dim": 16,
    "model.generator_channels": 8,
    "model.discriminator_channels": 8,
    "train.epochs": 2,
    "train.threads": 1,
}
TEXTS = {"idea": "an idea", "source": "a paper", "expect": "digits."}


@pytest.mark.parametrize("variant", ABLATION["variants"])
def test_every_variant_of_the_ablation_differs_from_the_default(variant):
    base = Params() if variant == "default" else params_of(ABLATION, "default", seed=0)
    assert params_of(ABLATION, variant, seed=0) != base


@pytest.mark.parametrize("variant", ZOO["variants"])
def test_every_variant_of_the_zoo_is_valid_and_described(variant):
    params = ZOO["variants"][variant]["params"]
    flat = flatten(params_of(ZOO, variant, seed=0))
    assert {name: flat[name] for name in params} == params
    assert all(ZOO["variants"][variant][text] for text in TEXTS)


@pytest.mark.parametrize("name", ["ablation", "zoo"])
def test_recorded_rows_are_of_the_variants_parameters(name):
    """A variant whose parameters change has to be trained again."""
    sweep = load_sweep(EXPERIMENTS / f"{name}.yaml", None)
    for row in read_rows(EXPERIMENTS / f"{name}.csv"):
        params = params_of(sweep, row["variant"], seed=int(row["seed"]))
        assert row["params"] == params_sha256(params)[:8], row["variant"]


def test_the_page_of_the_zoo_is_made_from_the_table_and_has_every_picture():
    rows = {row["variant"]: row for row in read_rows(EXPERIMENTS / "zoo.csv")}
    assert rows.keys() == ZOO["variants"].keys()
    assert (ROOT / "docs/zoo.md").read_text() == page(ZOO, rows)
    assert {path.stem for path in (ROOT / "docs/images/zoo").iterdir()} == rows.keys()


@pytest.fixture
def workspace(tmp_path):
    """A tiny workspace with the scripts in it, whose sweeps have a small variant and one that diverges."""
    new_workspace(tmp_path)
    (tmp_path / "experiments").mkdir()
    for script in EXPERIMENTS.glob("*.py"):
        (tmp_path / "experiments" / script.name).write_text(script.read_text())
    variants = {
        "small": TEXTS | {"params": {"train.batch_size": 64}, "seeds": [3]},
        "steep": TEXTS | {"params": {"train.generator_learning_rate": 1e30}},
    }
    content = {"seeds": [0], "base": SMALL, "variants": variants, "introduction": "# Tiny"}
    for name in ("zoo", "ablation"):
        content["two_sample"] = name == "ablation"
        (tmp_path / f"experiments/{name}.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


def test_the_ablation_adds_a_row_for_each_variant_that_its_table_lacks(stages, workspace, monkeypatch):
    done = stages.run("experiments/ablation.py", workspace, "small")
    assert done.returncode == 0, done.stderr
    results = workspace / "experiments/ablation.csv"
    (row,) = read_rows(results)
    assert {name: row[name] for name in ("variant", "seed", "epochs", "images_seen", "num_samples", "threads")} == {
        "variant": "small", "seed": "3", "epochs": "2", "images_seen": "384", "num_samples": "100", "threads": "1",
    }  # fmt: skip
    assert float(row["fcd_over_floor"]) > 1
    assert all(row.values()), row
    assert int(row["images_per_second"]) > 0
    monkeypatch.chdir(workspace)
    before = results.read_bytes()
    run_sweep(load_sweep(workspace / "experiments/ablation.yaml", None), ["small"], results)
    assert results.read_bytes() == before


def test_the_zoo_writes_its_page_and_records_what_diverges_without_figures(stages, workspace):
    done = stages.run("experiments/zoo.py", workspace)
    assert done.returncode == 0, done.stderr
    rows = {row["variant"]: row for row in read_rows(workspace / "experiments/zoo.csv")}
    assert rows["small"]["fcd"]
    assert rows["small"]["witness_fcd_over_floor"]
    assert not rows["small"]["two_sample_accuracy"]
    assert not rows["steep"]["fcd"]
    assert "steep: training diverged" in done.stdout
    text = (workspace / "docs/zoo.md").read_text()
    assert text.startswith("# Tiny\n")
    assert "| [steep](#steep) | failed |" in text
    assert [path.name for path in (workspace / "docs/images/zoo").iterdir()] == ["small.png"]
    assert "images/zoo/small.png" in text


@pytest.mark.parametrize(
    ("wrong", "code", "message"),
    [
        ("name", 64, "unknown variant smal;"),
        ("base", 64, "data/dataset.safetensors: holds digits"),
        ("data/dataset.safetensors", 65, "data/dataset.safetensors: missing"),
        ("models/classifier.safetensors", 65, "models/classifier.safetensors: missing"),
        ("models/witness.safetensors", 65, "models/witness.safetensors: missing"),
    ],
)
def test_what_cannot_run_is_refused_before_any_training(workspace, monkeypatch, wrong, code, message):
    path, names = workspace / "experiments/zoo.yaml", ["smal" if wrong == "name" else "small"]
    if wrong == "base":
        path.write_text(path.read_text().replace("data.name: digits", "data.name: kmnist"))
    (workspace / wrong).unlink(missing_ok=True)
    monkeypatch.chdir(workspace)
    with pytest.raises(DcganError, match=message) as caught:
        run_sweep(load_sweep(path, names), names, workspace / "experiments/zoo.csv")
    assert caught.value.exit_code == code
    assert not (workspace / "experiments/zoo.csv").exists()
