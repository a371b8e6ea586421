"""compose.yaml takes every password as it is: generated ones hold characters that mean something in an address."""

import re

import pytest
import yaml

from support import ROOT

SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
VARIABLE = re.compile(r"\$\{\w+(:[?-][^}]*)?\}")


def texts_in(value: object) -> list[str]:
    """Every text in a tree of YAML."""
    if isinstance(value, dict | list):
        return [text for each in (value.values() if isinstance(value, dict) else value) for text in texts_in(each)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("service", SERVICES)
def test_a_variable_is_a_whole_value_and_no_part_of_an_address_or_a_command(service):
    texts = [text for text in texts_in(SERVICES[service]) if "$" in text]
    assert [text for text in texts if not VARIABLE.fullmatch(text)] == []


def test_mlflow_and_its_database_are_given_the_same_password_as_their_libraries_read_it():
    mlflow, postgres = (SERVICES[name]["environment"] for name in ("mlflow", "postgres"))
    assert mlflow["PGPASSWORD"] == postgres["POSTGRES_PASSWORD"]
    assert "POSTGRES_PASSWORD" in mlflow["PGPASSWORD"]
    user, database = postgres["POSTGRES_USER"], postgres["POSTGRES_DB"]
    assert mlflow["MLFLOW_BACKEND_STORE_URI"] == f"postgresql://{user}@postgres/{database}"
