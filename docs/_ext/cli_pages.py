"""Every command of `dcgan` with its arguments, options and exit codes, as Typer and the docstrings have them."""

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from typer.main import get_command

from dcgan.cli import COMMANDS, Command, app
from dcgan.system import errors


def commands() -> str:
    """A section for each command, in the order of `dcgan --help`."""
    group = get_command(app)
    return "\n".join(line for name in COMMANDS for line in _section(name, COMMANDS[name], group))


def _section(name: str, command: Command, group: Any) -> Iterator[str]:
    typed = f"dcgan {name}"
    loaded = group.get_command(None, name)
    context = loaded.context_class(loaded, info_name=typed)
    module, _, function = command.function.partition(":")
    text = inspect.getdoc(getattr(import_module(f"dcgan.commands.{module}"), function)) or ""
    told, _, raised = text.partition("\n\nRaises:\n")
    yield f"## {typed}\n\n{told}\n"
    yield f"```text\n{loaded.get_usage(context).removeprefix('Usage: ')}\n```\n"
    yield f"```{{program}} {typed}\n```\n"
    for parameter in loaded.get_params(context):
        if (record := parameter.get_help_record(context)) and parameter.name != "help":
            yield f"```{{option}} {record[0]}\n{_as_markdown(record[1])}\n```\n"
    yield from _exit_codes(raised)
    yield f"Needs the extra `{command.extra}`, or `make setup`.\n"


def _exit_codes(raised: str) -> Iterator[str]:
    """A list of what a docstring says under `Raises:`, by the codes that commands end with."""
    entries = re.findall(r"^ {4}(\w[\w, ]*): (.*(?:\n {8}.*)*)", raised, re.MULTILINE)
    rows = []
    for names, reason in entries:
        codes = [getattr(errors, name).exit_code for name in names.split(", ")]
        if codes != [errors.DcganError.exit_code]:
            rows.append(f"- {' or '.join(map(str, codes))}: {' '.join(reason.split())}")
    if rows:
        yield "[Exit codes](/how-to/troubleshoot.md#exit-codes) of its own:\n"
        yield "\n".join(rows) + "\n"


def _as_markdown(text: str) -> str:
    """What help says of a parameter, with what it has in brackets set apart and links to the pages that it names."""
    return re.sub(r"docs/([\w/-]+\.md)", r"[](/\1)", re.sub(r"\s+\[([^\[\]]+)\]", r" *(\1)*", text))
