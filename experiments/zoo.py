"""Every kind of GAN in the project under one budget: `python experiments/zoo.py [VARIANT …]`.

Trains and evaluates the variants in experiments/zoo.yaml that experiments/zoo.csv lacks, so the command can be stopped
and started again, and writes docs/zoo.md. Needs the workspace's data set and classifier (`dvc repro validate
train_classifier train_witness`).
"""

if __name__ == "__main__":
    import dcgan.system.start  # noqa: F401 it has an effect

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from dcgan.system.exit import run_stage
from dcgan.system.files import write_bytes
from sweep import Row, Sweep, find_row, load_sweep, params_of, run_sweep, seeds_of

FOLDER = Path(__file__).parent
DOCS = FOLDER.parent / "docs"
PICTURES = DOCS / "images/zoo"
RESULTS = FOLDER / "zoo.csv"


def main(names: Annotated[list[str] | None, typer.Argument(metavar="VARIANT", help="[default: all]")] = None) -> None:
    """Train what experiments/zoo.csv lacks, then write docs/zoo.md from it."""
    sweep = load_sweep(FOLDER / "zoo.yaml", names)
    run_sweep(sweep, names, RESULTS, pictures=PICTURES)
    found = {
        name: find_row(name, params_of(sweep, name, seed=seeds_of(sweep, name)[0]), RESULTS)
        for name in sweep["variants"]
    }
    write_bytes(DOCS / "zoo.md", page(sweep, {name: row for name, row in found.items() if row}).encode())


def page(sweep: Sweep, rows: Mapping[str, Row]) -> str:
    """docs/zoo.md: the introduction, the table, and a section for every variant that has a row, the best first."""
    ranked = sorted(rows, key=lambda name: float(rows[name]["fcd"] or "inf"))
    lines = [
        sweep["introduction"].rstrip(),
        "",
        "| variant | fcd | fcd ÷ floor | witness ÷ floor | precision | recall | label accuracy | images/s | change |",
        "|---|---|---|---|---|---|---|---|---|",
        *(table_row(name, rows[name], sweep["variants"][name]) for name in ranked),
        "",
        "## Pictures",
    ]
    for name in ranked:
        variant = sweep["variants"][name]
        lines += ["", f"### {name}", "", f"{sentence(variant['idea'])} {sentence(variant['source'])}"]
        if rows[name]["fcd"]:
            lines += ["", f"![{name}]({PICTURES.relative_to(DOCS)}/{name}.png)"]
        lines += ["", sentence(variant["expect"])]
    return "\n".join(lines) + "\n"


def table_row(name: str, row: Row, variant: Mapping[str, Any]) -> str:
    """A row of the table."""
    measured = ("fcd", "fcd_over_floor", "witness_fcd_over_floor", "precision", "recall", "label_accuracy")
    figures = [two_places(row[key]) for key in measured] if row["fcd"] else ["failed", *[""] * 5]
    return f"| {' | '.join([f'[{name}](#{name})', *figures, row['images_per_second'], variant['idea']])} |"


def two_places(value: str) -> str:
    """A figure for people."""
    return f"{float(value):.2f}" if value else "–"


def sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


if __name__ == "__main__":
    run_stage(main)
