"""Stage `validate`: the raw files become data/dataset.safetensors, if every expectation of them holds."""

import dataclasses
import shutil
from pathlib import Path

from dcgan.config.params_file import load_params
from dcgan.data.dataset_file import save_dataset
from dcgan.data.expectations import check_expectations
from dcgan.data.files import read_arrays
from dcgan.data.findings_table import print_failures
from dcgan.data.image_table import image_table, summarise_splits
from dcgan.data.specs import KNOWN_DATA
from dcgan.system.errors import BadDataError
from dcgan.system.exit import run_stage
from dcgan.system.files import write_json

RAW = Path("data/raw")
DATASET = Path("data/dataset.safetensors")
REPORT = Path("reports/validation.json")
DATA_DOCS = Path("reports/data_docs")


def main() -> None:
    """Check data/raw against what is known of data.name; write the data set, or a table of what is wrong with it."""
    name = load_params(Path("params.yaml")).data.name
    arrays = read_arrays(name, RAW)
    table = image_table(arrays)
    summary = summarise_splits(table)
    shutil.rmtree(DATA_DOCS, ignore_errors=True)
    outcome = check_expectations(table, summary, KNOWN_DATA[name], data_docs=DATA_DOCS)

    DATASET.unlink(missing_ok=True)
    sha256 = save_dataset(DATASET, name=name, **arrays) if outcome.success else None
    findings = [dataclasses.asdict(finding) for finding in outcome.findings]
    report = {"dataset": name, "success": outcome.success, "dataset_sha256": sha256}
    write_json(REPORT, report | {"splits": summary, "expectations": findings})
    if not outcome.success:
        print_failures(findings)
        count = f"{len(outcome.failures)} of {len(findings)} expectations"
        raise BadDataError(f"{RAW}: {count} of {name} failed; see {REPORT} and {DATA_DOCS}/index.html")
    print(f"{DATASET}: {len(table):,} images, all {len(findings)} expectations hold")


if __name__ == "__main__":
    run_stage(main)
