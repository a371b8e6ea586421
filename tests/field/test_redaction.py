"""Ordinary values of the environment stay readable; secrets are hidden where they stand."""

from pathlib import Path

import pytest

from dcgan.config.params_file import load_params
from dcgan.system.redaction import holds_secret, redacted
from dcgan.tracking.provenance import describe_training
from dcgan.tracking.record import read_training
from tiny_workspace import new_workspace

ORDINARY = {
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "True",
    "CACHE_KEY": "10000",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "models/generator.safetensors",
    "HF_TOKEN_PATH": "models/generator.safetensors",
    "PASSWORD_STORE_DIR": "reports/evaluation.json",
    "VAULT_SECRET_NAME": "dcgan-generator",
    "AZURE_TOKEN_ENDPOINT": "non_saturating",
    "TOKENIZERS_PARALLELISM": "champion",
    "PWD": "/home/me/dcgan",
}
MESSAGES = [
    "models/generator.safetensors: missing; run `dvc repro train`",
    "reports/evaluation.json: not valid JSON",
    "models:/dcgan-generator@champion: no such version",
    "/home/me/dcgan/models/generator.onnx served on CPU at http://127.0.0.1:8000",
    "model.conditional: True, evaluate.num_samples: 10000, loss.name: non_saturating",
]


@pytest.fixture
def ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ORDINARY.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("message", MESSAGES)
def test_no_message_loses_a_word_to_an_ordinary_value(ordinary, message):
    assert redacted(message) == message


def test_the_words_of_a_passphrase_stay_where_they_stand_alone(monkeypatch):
    monkeypatch.setenv("BACKUP_PASSWORD", "the generator trains at midnight")
    assert redacted("the generator is not finite; train again") == "the generator is not finite; train again"
    assert redacted("refused: the generator trains at midnight!") == "refused: ***!"


@pytest.mark.parametrize(
    "name",
    [
        "PGPASSWORD",
        "DB_PASSWORD_PROD",
        "DB_PASS",
        "MYSQL_PWD",
        "GITHUB_TOKEN",
        "OPENAI_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
    ],
)
def test_secrets_are_hidden_under_the_names_that_libraries_give_them(monkeypatch, name):
    monkeypatch.setenv(name, "hunter2/p@ss+word")
    assert redacted("login failed with hunter2/p@ss+word.") == "login failed with ***."


def test_an_at_sign_in_a_path_hides_nothing(monkeypatch):
    monkeypatch.setenv("NPM_REGISTRY", "http://localhost:5000/@scope/")
    for message in ("MLflow at http://localhost:5000 failed", "/data/run:1@2024/params.yaml: missing"):
        assert redacted(message) == message
    assert not holds_secret("https://example.org/pkg:foo@1.0/")
    assert holds_secret("https://me:p/ss@example.org/")


def test_parameters_reach_mlflow_as_they_are_whatever_the_environment_holds(monkeypatch, tmp_path):
    new_workspace(tmp_path)
    params = load_params(tmp_path / "params.yaml")
    for number, value in enumerate(["True", "10000", "non_saturating", "tiny-generator", "normal"]):
        monkeypatch.setenv(f"SERVICE_{number}_TOKEN", value)
    monkeypatch.chdir(tmp_path)
    folder = Path(".checkpoints/abc")
    describe_training(folder, params=params, config=params.gan)
    sent = read_training(folder, status="RUNNING").params
    assert sent["model.conditional"] in (True, "True")
    assert "***" not in map(str, sent.values())
    assert sent["loss.name"] == "non_saturating"
