"""`dcgan export-int8`: a faster, slightly less exact copy of a generator."""

from pathlib import Path
from typing import Annotated

import typer

from dcgan.commands.model_source import ModelOption, default_model


def export_int8(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="The ONNX file to write.")],
    *,
    model: ModelOption = None,
) -> None:
    """Write a generator with convolutions in 8-bit integers, which a CPU computes faster."""
    from dcgan.export.int8 import VISIBLE, quantize_generator
    from dcgan.system.files import require_writable, write_bytes

    source = model or default_model()
    require_writable(out.parent)
    quantized = quantize_generator(source)
    write_bytes(out, quantized.content)
    share = f"{100 * quantized.share_off:.1f} % of its pixels differ from {source}'s by more than {VISIBLE} of 255"
    print(f"{out}: {share}; `dcgan evaluate --model {out}` measures its quality")
