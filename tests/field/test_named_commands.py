"""Every command that a message, a docstring or a document names exists, with its options and what it is given."""

import re
import shlex

import pytest
import yaml
from dvc.cli.parser import get_main_parser
from typer.main import get_command

from dcgan.cli import COMMANDS, app
from dcgan.system import advice
from support import ROOT

FOLDERS = ("src", "pipeline", "experiments", "benchmarks")
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "Makefile",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "data").glob("*/README.md")),
    ROOT / "params.yaml",
]
PROGRAMS = ("dvc", "dcgan", "make", "python")
INLINE = re.compile(rf"`((?:{'|'.join(PROGRAMS)})\b[^`\n]*)`")
BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
SUBCOMMANDS = get_command(app)


def commands_in(text: str) -> list[str]:
    """The commands of a text; in a source, a stage stands for what a message fills in."""
    text = re.sub(r"\{[^{}]*\}", "export", text) if "```" not in text else text
    lines = [line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    parts = [part.strip() for line in [*lines, *INLINE.findall(text)] for part in re.split("&&|;", line)]
    return [re.sub(r"^(\w+=\S+ )+", "", part) for part in parts]


def named() -> list[tuple[str, str]]:
    sources = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    found = [
        (str(path.relative_to(ROOT)), each) for path in [*sources, *DOCUMENTS] for each in commands_in(path.read_text())
    ]
    ours = [(place, each) for place, each in found if each.split(" ")[0] in PROGRAMS and "…" not in each.split(" ")[:2]]
    return list(dict.fromkeys(ours))


def problem(command: str) -> str | None:
    """What is wrong with a command."""
    program, *arguments = shlex.split(command, comments=True)
    if program == "make":
        return next((each for each in arguments if "=" not in each and each not in TARGETS), None)
    if program == "python":
        return _problem_of_script(arguments)
    if program == "dcgan":
        return _problem_of_dcgan(arguments)
    try:
        parsed = get_main_parser().parse_args(arguments)
    except (SystemExit, Exception) as error:  # DVC raises an error of its own
        return f"DVC refuses it: {error}"
    targets = getattr(parsed, "targets", None) or []
    return next((each for each in targets if parsed.cmd == "repro" and each not in STAGES), None)


def _problem_of_script(arguments: list[str]) -> str | None:
    if not arguments or arguments[0] in ("-m", "-c", "/bin/dvc"):
        return None
    script = ROOT / arguments[0].strip("[]")
    if not script.is_file():
        return f"no {script}"
    source = script.read_text()
    options = re.findall(r"--([a-z-]+)", " ".join(arguments))
    return next((each for each in options if f"--{each}" not in source and each.replace("-", "_") not in source), None)


def _problem_of_dcgan(arguments: list[str]) -> str | None:
    if not arguments or arguments[0].startswith("-"):
        return None if arguments in ([], ["--help"], ["--version"]) else "unknown option"
    if arguments[0] not in COMMANDS:
        return f"no command {arguments[0]}"
    known = {name for each in SUBCOMMANDS.get_command(None, arguments[0]).params for name in each.opts}
    return next((each for each in arguments[1:] if each.startswith("--") and each not in known), None)


@pytest.mark.parametrize(("place", "command"), named())
def test_a_named_command_exists_with_its_options(place, command):
    assert problem(command) is None


@pytest.mark.parametrize("stage", STAGES)
def test_what_messages_advise_is_a_command_of_dvc(stage):
    for text in (advice.run(stage), advice.rerun(stage), advice.repair(stage)):
        commands = INLINE.findall(text)
        assert commands
        assert [problem(each) for each in commands] == [None] * len(commands)


@pytest.mark.parametrize(
    "command",
    ["dvc repro eval", "dvc reproduce", "make demos", "python experiments/nothing.py", "dcgan serf",
     "python experiments/ablation.py ROW --threads 1", "dcgan serve --limits x"],
)  # fmt: skip
def test_a_mistake_would_be_seen(command):
    assert problem(command)


def test_no_message_runs_more_than_the_stage_that_it_names():
    for place, command in named():
        assert (
            "--force" not in command
            or "--single-item" in command
            or command.startswith(("dcgan ", "dvc commit "))  # the latter runs nothing
            or place.endswith(("cache.py", "advice.py"))
        ), place
