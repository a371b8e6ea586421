"""Stage `validate`: the raw files become data/dataset.safetensors, if every expectation of them holds."""

if __name__ == "__main__":
    import dcgan.system.start  # noqa: F401 it has an effect

import dataclasses
import shutil

from dcgan.config.params_file import load_params
from dcgan.config.workspace import DATA_DOCS, DATASET, PARAMS, RAW, REFERENCE, VALIDATION
from dcgan.data.classes import select_classes
from dcgan.data.dataset_file import save_dataset
from dcgan.data.expectations import check_expectations
from dcgan.data.files import read_arrays, read_class_names
from dcgan.data.findings_table import print_failures
from dcgan.data.image_table import image_table, summarise_splits
from dcgan.data.reference import reference_of
from dcgan.data.specs import KNOWN_DATA
from dcgan.system.errors import BadDataError
from dcgan.system.exit import run_stage
from dcgan.system.files import write_json


def main() -> None:
    """Check data/raw against what is known of data.name; write the data set, or a table of what is wrong with it."""
    data = load_params(PARAMS).data
    name, arrays, class_names = data.name, read_arrays(data.name, RAW), read_class_names(data.name, RAW)
    table = image_table(arrays)
    summary = summarise_splits(table, num_classes=len(class_names))
    facts = KNOWN_DATA[name] if name != "images" else reference_of(table, summary, class_names, path=REFERENCE)
    shutil.rmtree(DATA_DOCS, ignore_errors=True)
    findings = check_expectations(table, summary, facts, data_docs=DATA_DOCS)
    failures = [finding for finding in findings if not finding.success]

    DATASET.unlink(missing_ok=True)
    arrays, class_names = select_classes(arrays, class_names, data.classes)
    if data.classes is not None:
        summary = summarise_splits(image_table(arrays), num_classes=len(class_names))
    sha256 = None if failures else save_dataset(DATASET, arrays, name=name, class_names=class_names)
    expectations = [dataclasses.asdict(finding) for finding in findings]
    report = {"dataset": name, "success": not failures, "dataset_sha256": sha256}
    write_json(VALIDATION, report | {"splits": summary, "expectations": expectations})
    if failures:
        print_failures(findings)
        count = f"{len(failures)} of {len(findings)} expectations"
        other = f"; if these are images of another kind, delete {REFERENCE}" if name == "images" else ""
        raise BadDataError(f"{RAW}: {count} of {name} failed; see {VALIDATION} and {DATA_DOCS}/index.html{other}")
    count = sum(split["images"] for split in summary.values())
    print(f"{DATASET}: {count:,} images, all {len(findings)} expectations hold; see {DATA_DOCS}/index.html")


if __name__ == "__main__":
    run_stage(main)
