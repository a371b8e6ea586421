"""compose.yaml takes every password as it is: generated ones hold characters that mean something in an address."""

import re

import pytest
import yaml

from support import ROOT

FILES = ("compose.yaml", "compose.team.yaml")
SERVICES, TEAM = (yaml.safe_load((ROOT / name).read_text())["services"] for name in FILES)
VARIABLE = re.compile(r"\$\{\w+(:[?-][^}]*)?\}")


def texts_in(value: object) -> list[str]:
    """Every text in a tree of YAML."""
    if isinstance(value, dict | list):
        return [text for each in (value.values() if isinstance(value, dict) else value) for text in texts_in(each)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("service", [*SERVICES.values(), *TEAM.values()], ids=[*SERVICES, *TEAM])
def test_a_variable_is_a_whole_value_and_no_part_of_an_address_or_a_command(service):
    texts = [text for text in texts_in(service) if "$" in text]
    assert [text for text in texts if not VARIABLE.fullmatch(text)] == []


def test_mlflow_and_its_database_are_given_the_same_password_as_their_libraries_read_it():
    mlflow, postgres = (SERVICES[name]["environment"] for name in ("mlflow", "postgres"))
    assert mlflow["PGPASSWORD"] == postgres["POSTGRES_PASSWORD"]
    assert "POSTGRES_PASSWORD" in mlflow["PGPASSWORD"]
    user, database = postgres["POSTGRES_USER"], postgres["POSTGRES_DB"]
    assert mlflow["MLFLOW_BACKEND_STORE_URI"] == f"postgresql://{user}@postgres/{database}"


def test_mlflow_of_a_team_logs_in_to_the_s3_server_beside_it_and_to_a_bucket_that_is_there():
    mlflow, s3 = TEAM["mlflow"]["environment"], TEAM["s3"]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert mlflow[name] == s3["environment"][name]
        assert VARIABLE.fullmatch(mlflow[name])[1].startswith(":?")  # it is required
    (buckets,) = (each.removeprefix("-bucket=").split(",") for each in s3["command"] if each.startswith("-bucket="))
    assert mlflow["MLFLOW_ARTIFACTS_DESTINATION"].split("/")[2] in buckets
    (port,) = s3["ports"]
    assert port.startswith("127.0.0.1:")
    assert mlflow["AWS_ENDPOINT_URL"] == f"http://s3:{port.rpartition(':')[2]}"
    # What the other file says of the same variable gives way; an option of its command would not.
    assert "--artifacts-destination" not in "".join(SERVICES["mlflow"]["command"])
    assert "MLFLOW_ARTIFACTS_DESTINATION" in SERVICES["mlflow"]["environment"]
