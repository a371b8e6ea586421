"""`dcgan promote`, `dcgan rollback` and `dcgan versions`, as typed, on a real registry in a sqlite file."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import tracking_store as tracked
from dcgan.system.locks import exclusive
from dcgan.tracking import promotion
from dvc_workspace import Ended

pytestmark = pytest.mark.usefixtures("tracked_workspace")

NAME = "tiny-generator"
FAILED = "label_accuracy is 0.5 (at least 0.985)"
PASSED = {"gates": "passed", "failed_gates": "none", "fcd": "0.25", "fcd_floor": "0.1", "generator_sha256": "a" * 64}
Dcgan = Callable[..., Ended]


@pytest.fixture(autouse=True)
def _somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setattr(promotion, "LOCK_SECONDS", 0.1)


def add_version(tags: dict[str, str] = PASSED, *, name: str = NAME) -> str:
    """A version as `register` leaves it; its number."""
    client = tracked.client()
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    folder = Path(f"model-{len(client.search_model_versions())}")
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"model")
    source = folder.resolve().as_uri()
    tags = tags | {"decision": "challenger: as a test wants it"}
    version = client.create_model_version(name, source, tags=tags, description="**challenger**: of a test.")
    return str(version.version)


def file_of(number: str) -> Path:
    return Path(f"model-{int(number) - 1}/model.onnx")


def holders() -> dict[str, str]:
    aliases = tracked.client().get_registered_model(NAME).aliases
    return {alias: str(number) for alias, number in aliases.items()}


def version(number: str):
    return tracked.client().get_model_version(NAME, number)


def by_hand(alias: str, number: str) -> None:
    """As people do it in MLflow's pages."""
    tracked.client().set_registered_model_alias(NAME, alias, number)


def assert_refused(ended: Ended, exit_code: int, told: str) -> None:
    assert (ended.exit_code, ended.out, ended.err.count("\n")) == (exit_code, "", 1), ended
    assert re.search(told, ended.err), ended.err


# promote


def test_the_registry_of_the_workspace_is_asked_whatever_mlflow_was_set_to_before(dcgan, tmp_path, monkeypatch):
    import mlflow

    add_version()
    environment = os.environ.get("MLFLOW_TRACKING_URI", "")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/another.db")  # sets the environment variable as well
    monkeypatch.setenv("MLFLOW_TRACKING_URI", environment)
    try:
        assert dcgan("promote", 1) == (0, f"{NAME} version 1 is champion now\n", "")
    finally:
        mlflow.set_tracking_uri("")


def test_a_version_that_passes_its_gates_becomes_champion_and_tells_by_whom(dcgan):
    add_version()
    add_version()
    by_hand("challenger", "2")
    assert dcgan("promote", 1) == (0, f"{NAME} version 1 is champion now\n", "")
    told = dcgan("promote", 2, "--reason", "better\nfours")
    assert told == (0, f"{NAME} version 2 is champion now, in place of version 1\n", "")
    assert holders() == {"champion": "2"}
    tags = version("2").tags
    assert (tags["promoted_by"], tags["promotion_reason"]) == ("ann", "better fours")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", tags["promoted_at"])
    assert "forced" not in tags
    page = f"> Promoted by ann at {tags['promoted_at']}; reason: better fours.  \n\n**challenger**: of a test."
    assert version("2").description == page
    assert dcgan("promote", 2) == (0, f"{NAME} version 2 is the champion already\n", "")


@pytest.mark.parametrize(
    ("tags", "obstacle"),
    [
        ({"gates": "failed", "failed_gates": FAILED}, f"fails gates: {FAILED}"),
        ({}, "has no tags that tell of gates"),
    ],
)
def test_one_that_failed_its_gates_or_tells_of_none_is_refused_unless_forced_with_a_reason(dcgan, tags, obstacle):
    add_version()
    add_version(tags)
    dcgan("promote", 1)
    told = rf"^error: {NAME} version 2 {re.escape(obstacle)}; `dcgan promote 2 --force --reason TEXT` makes it champion"
    assert_refused(dcgan("promote", 2), 65, told)
    assert_refused(dcgan("promote", 2, "--reason", "I want it"), 65, told)
    assert_refused(dcgan("promote", 2, "--force"), 64, "--force: needs --reason")
    assert holders() == {"champion": "1"}
    assert version("2").tags.keys() == {*tags, "decision"}
    forced = dcgan("promote", 2, "--force", "--reason", "the customer's digits")
    assert forced.out == f"{NAME} version 2 is champion now, in place of version 1, although it {obstacle}\n"
    assert (holders(), version("2").tags["forced"]) == ({"champion": "2"}, obstacle)
    sentence = rf"romoted by ann at .* UTC, although it {re.escape(obstacle)}; reason: the customer's digits"
    assert re.match(rf"> P{sentence}", version("2").description)
    assert re.search(rf"^\* 2 .*\n.*\n    p{sentence}$", dcgan("versions").out, re.MULTILINE)
    dcgan("promote", 1)
    tracked.client().set_model_version_tag(NAME, "2", "gates", "passed")
    dcgan("promote", 2, "--force", "--reason", "it passes now")
    assert "forced" not in version("2").tags


def test_what_cannot_be_promoted_is_refused_in_one_line(dcgan):
    for number in ("1", "2", "3"):
        assert add_version() == number
    tracked.client().delete_model_version(NAME, "2")
    file_of("3").unlink()
    absent = "`dcgan versions` lists those that there are"
    for number in (2, 7, 2**31 - 1):
        assert_refused(dcgan("promote", number), 65, f"{NAME}: has no version {number}; {absent}")
    assert_refused(dcgan("promote", 3), 65, f"{NAME} version 3: its file is gone; promote another; {absent}")
    for number in ("three", "1.5", "0", "-1", str(2**31)):
        assert_refused(dcgan("promote", "--", number), 64, "VERSION")
    for reason in ("", "  \n ", "x" * 501):
        assert_refused(dcgan("promote", 1, "--reason", reason), 64, "--reason: has ")
    for command in (["promote", 1], ["rollback"], ["versions"]):
        no_model = "other: the registry at sqlite:///.* has no such model; `dcgan sync`, in the workspace"
        assert_refused(dcgan(*command, "--name", "other"), 65, no_model)
        assert_refused(dcgan(*command, "--name", " "), 64, "--name: is empty")
    assert holders() == {}


def test_outside_a_workspace_the_name_has_to_be_given(dcgan):
    add_version()
    Path("params.yaml").unlink()
    assert_refused(dcgan("promote", 1), 64, r"params\.yaml: missing here; .* --name")
    assert dcgan("promote", 1, "--name", NAME).exit_code == 0
    assert dcgan("versions", "--name", NAME).out.splitlines()[1].startswith("* 1 ")


@pytest.mark.parametrize("name", ["it's mine", 'say "nine"', """both ' and " """])
def test_names_may_hold_quotes(dcgan, name):
    client = tracked.client()
    client.create_registered_model(name)
    Path("model").mkdir()
    Path("model/model.onnx").write_bytes(b"model")
    for _ in range(2):
        client.create_model_version(name, Path("model").resolve().as_uri(), tags=PASSED)
    for number in (1, 2):
        assert dcgan("promote", number, "--name", name).exit_code == 0
    assert dcgan("rollback", "--name", name).out == f"{name} version 1 is champion again, and version 2 is not\n"


# A registry that moves


def meanwhile(monkeypatch: pytest.MonkeyPatch, call: str, *, before: bool) -> None:
    """Somebody gives the alias to version 3 right before, or after, the first call of MLflow's client."""
    import mlflow

    genuine, calls = getattr(mlflow.MlflowClient, call), []

    def move(*arguments: object, **options: object) -> object:
        calls.append(call)
        is_first = len(calls) == 1
        if is_first and before:
            by_hand("champion", "3")
        answer = genuine(*arguments, **options)
        if is_first and not before:
            by_hand("champion", "3")
        return answer

    monkeypatch.setattr(mlflow.MlflowClient, call, move)


@pytest.mark.parametrize("command", [["promote", 2], ["rollback"]])
def test_an_alias_that_moves_before_the_promotion_stays_where_it_is(dcgan, monkeypatch, command):
    for _ in range(3):
        add_version()
    dcgan("promote", 2)
    dcgan("promote", 1)
    meanwhile(monkeypatch, "search_model_versions", before=True)
    assert_refused(dcgan(*command), 75, f"{NAME}: the alias champion moved from version 1 to 3 meanwhile, and stays")
    assert holders() == {"champion": "3"}
    assert not [each for number in "12" for each in version(number).tags if each.startswith("rolled_back")]


def test_an_alias_that_moves_at_the_same_time_is_told(dcgan, monkeypatch):
    for _ in range(3):
        add_version()
    dcgan("promote", 1)
    meanwhile(monkeypatch, "set_registered_model_alias", before=False)
    monkeypatch.setattr(promotion, "_remember", lambda *_: None)  # whose writing is not the first
    told = "version 2 became champion, but somebody else gave the alias to version 3 at the same time"
    assert_refused(dcgan("promote", 2), 75, told)
    assert holders() == {"champion": "3"}


@pytest.mark.parametrize("command", [["promote", 1], ["rollback"]])
def test_two_at_once_on_one_sqlite_file_are_kept_apart(dcgan, command):
    add_version()
    with exclusive(Path("mlflow.db.lock")):
        assert_refused(dcgan(*command), 75, r"mlflow\.db\.lock: locked by pid")
    assert holders() == {}


def test_an_unreachable_server_is_69(dcgan, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    for command in (["promote", 1], ["rollback"], ["versions"]):
        assert_refused(dcgan(*command), 69, r"MLflow at http://127\.0\.0\.1:9 failed")


# rollback


def test_a_rollback_gives_the_alias_back_step_by_step_and_never_to_what_was_rolled_back(dcgan):
    for number in "1234":
        add_version()
        dcgan("promote", number)
    told = dcgan("rollback", "--reason", "blurred sevens")
    assert told == (0, f"{NAME} version 3 is champion again, and version 4 is not\n", "")
    assert holders() == {"champion": "3", "challenger": "4"}
    tags = version("4").tags
    assert (tags["rolled_back_by"], tags["rollback_reason"]) == ("ann", "blurred sevens")
    assert re.search(r"^> Rolled back by ann at .* UTC; reason: blurred sevens", version("4").description, re.MULTILINE)
    by_hand("challenger", "1")
    assert dcgan("rollback").out == (
        f"version 4 is skipped: it was rolled back\n{NAME} version 2 is champion again, and version 3 is not\n"
    )
    assert holders() == {"champion": "2", "challenger": "1"}, "a challenger of one's own stays it"
    assert dcgan("promote", 4).exit_code == 0, "by hand it may come back"
    assert not [each for each in version("4").tags if each.startswith("rolled_back")]
    assert "olled back" not in version("4").description
    assert f"{NAME} version 2 is champion again" in dcgan("rollback").out
    dcgan("rollback")
    assert holders() == {"champion": "1", "challenger": "2"}
    for _ in range(2):
        assert_refused(dcgan("rollback"), 65, rf"{NAME}: there is no earlier champion; version 2 is skipped: it was")
    assert holders() == {"champion": "1", "challenger": "2"}


def test_versions_that_are_deleted_or_have_lost_their_file_are_skipped(dcgan):
    for number in "1234":
        add_version()
        dcgan("promote", number)
    tracked.client().delete_model_version(NAME, "3")
    file_of("2").unlink()
    assert dcgan("rollback").out.splitlines() == [
        "version 3 is skipped: it was deleted",
        "version 2 is skipped: its file is gone",
        f"{NAME} version 1 is champion again, and version 4 is not",
    ]
    assert_refused(dcgan("rollback"), 65, "no earlier champion; .*version 4 is skipped: it was rolled back; version 3")


def test_where_nobody_was_champion_there_is_nothing_to_go_back_to(dcgan):
    add_version()
    told = rf"{NAME}: there is no earlier champion; `dcgan promote VERSION` chooses one"
    assert_refused(dcgan("rollback"), 65, told)
    by_hand("champion", "1")
    assert_refused(dcgan("rollback"), 65, told)
    assert holders() == {"champion": "1"}


def test_champions_that_people_made_in_mlflow_count(dcgan):
    for _ in range(3):
        add_version()
    by_hand("champion", "1")
    dcgan("promote", 2)
    by_hand("champion", "3")
    assert dcgan("rollback").out == f"{NAME} version 2 is champion again, and version 3 is not\n"
    assert "version 1 is champion again, and version 2 is not" in dcgan("rollback").out
    tracked.client().delete_registered_model_alias(NAME, "champion")
    assert dcgan("rollback").out.splitlines()[-1] == f"{NAME} version 1 is champion again"


# versions


def test_versions_are_listed_with_figures_gates_and_decisions(dcgan):
    add_version()
    add_version({"gates": "failed", "failed_gates": FAILED, "fcd": "0.494", "fcd_floor": "0.1"})
    add_version({"fcd": "nonsense", "decision": "of \x1b[31mred\nlines"})
    dcgan("promote", 1)
    by_hand("challenger", "2")
    by_hand("staging", "1")
    head, third, third_decision, second, second_decision, first, *notes = dcgan("versions").out.splitlines()
    assert re.split(r"  +", head) == ["version", "aliases", "fcd / floor", "gates", "registered (UTC)", "generator"]
    assert re.split(r"  +", first)[:4] == ["* 1", "champion, staging", "2.50", "passed"]
    assert first.endswith("  aaaaaaaa")
    assert re.split(r"  +", second.strip())[:4] == ["2", "challenger", "4.94", "failed"]
    assert re.match(r"  3 +- +- ", third)
    assert third_decision == "    registered as challenger: as a test wants it"
    assert second_decision == third_decision
    assert (len(notes), notes[1][:25]) == (2, "    promoted by ann at 20")
    listed = json.loads(dcgan("versions", "--json").out)
    assert [each["version"] for each in listed] == ["3", "2", "1"]
    assert (listed[2]["aliases"], listed[2]["fcd_over_floor"]) == (["champion", "staging"], 2.5)
    assert (listed[1]["failed_gates"], listed[0]["fcd"], listed[0]["gates"]) == (FAILED, None, None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", listed[0]["registered_at"])
    assert listed[2]["by_hand"][0].startswith("promoted by ann at ")


def test_what_others_wrote_cannot_reach_the_terminal(dcgan):
    add_version({"gates": "\x1b[31mpassed\n"})
    assert "?[31mpassed" in dcgan("versions").out
    assert "\x1b" not in dcgan("versions").out
