"""`dcgan info`: where a generator comes from and what it takes."""

from dcgan.commands.model_source import ModelOption, default_model


def info(*, model: ModelOption = None) -> None:
    """Print name and value of everything worth knowing about a model."""
    from dcgan.inference.generator import Generator

    about = Generator.load(model or default_model(), providers="cpu").info
    inputs = [("input", f"{name}: {kind}") for name, kind in about.contract.inputs.items()]
    outputs = [("output", f"{name}: {kind}") for name, kind in about.contract.outputs.items()]
    metadata = [(name, _printable(value)) for name, value in sorted(about.metadata.items())]
    file = [
        ("model", str(about.path)),
        ("size", f"{about.num_bytes:,} bytes"),
        ("sha256", about.sha256),
        ("checksum", "valid" if about.has_checksum else "none: exported elsewhere"),
    ]
    rows = [*file, *inputs, *outputs, *metadata]
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:<{width}}  {value}" for name, value in rows))


def _printable(value: str) -> str:
    """Text of a file that may come from anywhere, without control characters for the terminal."""
    return "".join(each if each.isprintable() else "?" for each in value)
