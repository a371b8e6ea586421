"""Stage `validate`: the raw files become data/dataset.safetensors, if every expectation of them holds."""

if __name__ == "__main__":
    import dcgan.system.start  # noqa: F401 it has an effect

import dataclasses
import shutil

from dcgan.config.params_file import load_params
from dcgan.config.workspace import DATA_DOCS, DATASET, PARAMS, RAW, VALIDATION
from dcgan.data.dataset_file import save_dataset
from dcgan.data.expectations import check_expectations
from dcgan.data.files import read_arrays
from dcgan.data.findings_table import print_failures
from dcgan.data.image_table import image_table, summarise_splits
from dcgan.data.specs import KNOWN_DATA
from dcgan.system.errors import BadDataError
from dcgan.system.exit import run_stage
from dcgan.system.files import write_json


def main() -> None:
    """Check data/raw against what is known of data.name; write the data set, or a table of what is wrong with it."""
    name = load_params(PARAMS).data.name
    arrays = read_arrays(name, RAW)
    table = image_table(arrays)
    summary = summarise_splits(table)
    shutil.rmtree(DATA_DOCS, ignore_errors=True)
    findings = check_expectations(table, summary, KNOWN_DATA[name], data_docs=DATA_DOCS)
    failures = [finding for finding in findings if not finding.success]

    DATASET.unlink(missing_ok=True)
    sha256 = None if failures else save_dataset(DATASET, arrays, name=name)
    expectations = [dataclasses.asdict(finding) for finding in findings]
    report = {"dataset": name, "success": not failures, "dataset_sha256": sha256}
    write_json(VALIDATION, report | {"splits": summary, "expectations": expectations})
    if failures:
        print_failures(findings)
        count = f"{len(failures)} of {len(findings)} expectations"
        raise BadDataError(f"{RAW}: {count} of {name} failed; see {VALIDATION} and {DATA_DOCS}/index.html")
    print(f"{DATASET}: {len(table):,} images, all {len(findings)} expectations hold; see {DATA_DOCS}/index.html")


if __name__ == "__main__":
    run_stage(main)
