"""Stage `validate`: the raw files become data/dataset.safetensors, if every expectation of them holds."""

import dataclasses
import shutil
from pathlib import Path

from dcgan.adapters.dataset_file import save_dataset
from dcgan.adapters.expectations import check_expectations
from dcgan.adapters.findings_table import print_failures
from dcgan.adapters.image_table import image_table, summarise_splits
from dcgan.adapters.mnist_files import read_arrays
from dcgan.adapters.params_file import load_params
from dcgan.entry import run_stage
from dcgan.errors import BadDataError
from dcgan.files import write_json
from dcgan.known_data import KNOWN_DATA

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
