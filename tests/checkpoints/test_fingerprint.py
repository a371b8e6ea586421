import pytest
import torch

from dcgan.checkpoints import fingerprint as module
from dcgan.checkpoints.fingerprint import fingerprint_of
from dcgan.config.schema import ClassifierConfig, StopRule
from small_gan import CONFIG, CPU, changed


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data"
    path.write_text("a")
    return path


def fingerprint(data, *, config=CONFIG, stage="train", device=CPU):
    return fingerprint_of(stage, config, [data], rooms=["gan"], device=device)


@pytest.mark.parametrize(
    "changes",
    [
        {"train.seed": 1},
        {"train.epochs": 3},
        {"train.precision": "bf16"},
        {"model.latent_dim": 17},
        {"loss.diversity": 0.7},
        {"penalties.r1": 0.1},
        {"train.evaluate_every": 3},
        {"train.stop_when": StopRule(metric="train/quick_fcd", below=1.0)},
    ],
    ids=str,
)
def test_it_changes_with_every_parameter_that_weights_depend_on(data, changes):
    assert fingerprint(data, config=changed(CONFIG, changes)) != fingerprint(data)


def test_what_is_written_on_the_way_may_change(data):
    every = {"train.report_every": 3, "train.sample_every": 5, "train.checkpoint_every": 7}
    changes = every | {"train.keep": "best", "train.max_rollbacks": 9}
    assert fingerprint(data, config=changed(CONFIG, changes)) == fingerprint(data)
    classifiers = [fingerprint(data, config=ClassifierConfig(checkpoint_every=each)) for each in (3, 4)]
    assert classifiers[0] == classifiers[1]


def test_it_changes_with_stage_inputs_code_torch_device_and_threads(data, tmp_path, monkeypatch):
    package = tmp_path / "package"
    (package / "gan/networks").mkdir(parents=True)
    (package / "checkpoints").mkdir()
    source = package / "gan/networks/dense.py"
    source.write_text("1")
    monkeypatch.setattr(module, "__file__", str(package / "checkpoints/fingerprint.py"))
    found = [fingerprint(data), fingerprint(data, stage="train_classifier")]
    found.append(fingerprint(data, device=torch.device("cuda")))
    for change in (
        lambda: source.write_text("2"),
        lambda: data.write_text("b"),
        lambda: monkeypatch.setattr(torch, "get_num_threads", lambda: 99),
        lambda: monkeypatch.setattr(torch, "__version__", "0"),
    ):
        change()
        found.append(fingerprint(data))
    (package / "service.py").write_text("of another room")
    assert fingerprint(data) == found[-1]
    assert len({tuple(each.items()) for each in found}) == len(found) == 7
