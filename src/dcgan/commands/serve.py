"""`dcgan serve`: digits over HTTP."""

import os
import re
from typing import Annotated

import typer

from dcgan.commands.model_source import DEFAULT_MODEL, default_model, load_generator, version_at
from dcgan.system.errors import UsageError

ROOT_PATH = re.compile(r"(?!/(v1|v2|page|docs|metrics|openapi\.json)(/|$))(/(?!\.)[A-Za-z0-9._~-]+)*")
"""Not one that begins as the service's own paths do."""
MAX_WATCH_SECONDS = 86_400


def serve(
    *,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="FILE", help=f"An ONNX file, or models:/NAME@ALIAS in MLflow's registry. {DEFAULT_MODEL}"
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="ADDRESS", help="Address to listen on; 0.0.0.0: all of IPv4, `::`: all of IPv4 and IPv6."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", envvar="PORT", help="Port to listen on; 0: any free one.")
    ] = 8000,
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", min=1, help="Batches drawn at once. [default: one a core]")
    ] = None,
    watch: Annotated[
        float | None,
        typer.Option(
            "--watch", metavar="SECONDS", help="How often to look whether ALIAS names another version by now."
        ),
    ] = None,
    root_path: Annotated[
        str, typer.Option("--root-path", metavar="PATH", help="Where a proxy in front serves this, as /digits.")
    ] = "",
    origins: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-origin", metavar="ORIGIN", help="Whose pages may ask, as https://example.org; repeat for several."
        ),
    ] = None,
    limits: Annotated[
        list[str] | None,
        typer.Option(
            "--limit", metavar="NAME=VALUE", help="As max_images=100; repeat for several. docs/service.md lists them."
        ),
    ] = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; DCGAN_API_KEYS=KEY,… lets in only those who send one of the keys."""
    from dcgan.service.browsers import require_origins
    from dcgan.service.limits import limits_from
    from dcgan.service.model import Watch
    from dcgan.service.server import serve as run

    if not ROOT_PATH.fullmatch(root_path.rstrip("/")):
        raise UsageError(f"--root-path: {root_path} cannot be the path; expected one such as /digits")
    keys = [key.strip() for key in os.environ.get("DCGAN_API_KEYS", "").split(",") if key.strip()]
    require_origins(origins or [])
    chosen, source = limits_from(limits or []), model or str(default_model())
    if watch is not None and not 1 <= watch <= MAX_WATCH_SECONDS:
        raise UsageError(f"--watch: {watch:g} is out of range; expected 1 to {MAX_WATCH_SECONDS:,} seconds")
    if watch is not None:
        from dcgan.tracking.download import ALIASED

        if not ALIASED.fullmatch(source):
            raise UsageError(
                f"--watch: needs a model that may change, as --model models:/NAME@ALIAS; {source} is fixed"
            )
    run(
        lambda: load_generator(source),
        host=host,
        port=port,
        limits=chosen,
        keys=keys,
        origins=origins or [],
        root_path=root_path.rstrip("/"),
        threads=threads,
        watch=None if watch is None else Watch(lambda: version_at(source), watch),
    )
