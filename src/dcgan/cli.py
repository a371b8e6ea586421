"""`dcgan`: one table of commands, each in a module of `dcgan.commands` that is imported when the command is run."""

import inspect
from functools import partial
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_command

from dcgan import __version__
from dcgan.system.exit import new_app, run_app
from dcgan.system.required import required
from dcgan.system.signals import importing


class Command(NamedTuple):
    """Where a command is, what `--help` says of it, and the extra of the package that it needs."""

    function: str
    help: str
    extra: str


COMMANDS = {
    "generate": Command("generate:generate", "Draw digits into a file.", "serve-cpu"),
    "serve": Command("serve:serve", "Serve digits over HTTP.", "serve-cpu"),
    "info": Command("info:info", "Show where a generator comes from and what it takes.", "serve-cpu"),
    "export-triton": Command("export_triton:export_triton", "Add a generator to NVIDIA Triton's models.", "serve-cpu"),
    "export-int8": Command("export_int8:export_int8", "Write a faster copy in 8-bit integers.", "train"),
    "evaluate": Command("evaluate:evaluate_model", "Measure any ONNX generator against real images.", "train"),
    "check-data": Command("check_data:check_data", "Hold new images against the data set.", "train"),
    "project": Command("project:project_images", "Find the latents that come nearest to pictures.", "train"),
    "sweep": Command("sweep:sweep_parameters", "Search for better parameters.", "scale"),
    "new": Command("new:new_workspace", "Make a workspace in a new folder.", "train"),
    "doctor": Command("doctor:run_doctor", "Find what is damaged in this workspace.", "train"),
    "versions": Command("versions:show_versions", "List the versions in MLflow's registry.", "train"),
    "promote": Command("promote:promote_version", "Make a version champion.", "train"),
    "rollback": Command("rollback:roll_back_champion", "Make the last champion champion again.", "train"),
    "sync": Command("sync:sync_workspace", "Send MLflow what it lacks of this workspace.", "train"),
}


class _Commands(TyperGroup):
    """The commands of the table."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 Typer's own signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        return _load(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in COMMANDS.items()])


def _load(name: str) -> Any:
    """Typer's command of that name."""
    module, _, function = COMMANDS[name].function.partition(":")
    needs = partial(required, f"dcgan {name}", extra=COMMANDS[name].extra)
    with importing(), needs():
        run = getattr(import_module(f"dcgan.commands.{module}"), function)
    one = new_app()
    one.command(name, help=inspect.cleandoc(run.__doc__ or COMMANDS[name].help).partition("\n\n")[0])(needs()(run))
    return get_command(one)


def _show_version(*, wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


app = new_app()
WIDTH = 120
"""Most columns that help takes, in a terminal that has them; Typer itself stops at 80."""


Version = Annotated[
    bool,
    typer.Option(
        "--version",
        callback=lambda wanted: _show_version(wanted=wanted),
        is_eager=True,
        help="Show the version and exit.",
    ),
]


@app.callback(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"max_content_width": WIDTH},
    epilog="The options of a command: dcgan COMMAND --help",
)
def _options(ctx: typer.Context, *, _version: Version = False) -> None:
    """Draw handwritten digits with a trained generator, and look after its workspace."""
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def main() -> None:
    """Run the command line and end the process."""
    run_app(app)


if __name__ == "__main__":
    main()
