"""The gate in front of training: Great Expectations over the table of images and the summary of both splits."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcgan.config.schema import IMAGE_SIZE
from dcgan.data.specs import DataFacts, Range, SplitBounds, SplitFacts

if TYPE_CHECKING:
    from pandas import DataFrame

NUM_EXAMPLES = 5
ROW_NAMES = {"images": ["split", "index"], "splits": ["split"]}
"""For each table that is checked, the columns that tell where a row comes from."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one expectation found."""

    description: str
    """What was expected, in words."""
    expectation: str
    """Great Expectations' name for its kind."""
    column: str | None
    split: str | None
    """The only split looked at; None: both."""
    success: bool
    expected: dict[str, Any]
    observed: Any
    """The number measured; for an expectation of every row, the share that failed it."""
    unexpected_count: int | None
    """Rows that failed it; None for an expectation of the table as a whole."""
    examples: list[dict[str, Any]]
    """The first rows that failed it, with the value found."""


def check_expectations(
    table: "DataFrame", summary: Mapping[str, Mapping[str, Any]], facts: DataFacts, *, data_docs: Path
) -> list[Finding]:
    """What each expectation found in a data set, in a fixed order; equal data gives equal findings.

    Table and summary are those of `image_table` and `summarise_splits`; Great Expectations' HTML report goes into
    the folder `data_docs`.
    """
    import pandas as pd

    splits = pd.DataFrame([_split_row(split, numbers) for split, numbers in summary.items()])
    context = _context(data_docs)
    findings = [
        *_check(context, "images", table, _image_expectations(facts, num_images=len(table))),
        *_check(context, "splits", splits, _split_expectations(facts)),
    ]
    context.build_data_docs()
    return findings


def check_images(table: "DataFrame", facts: DataFacts) -> list[Finding]:
    """What is expected of every image alone, and of their being distinct, in images of any number and mixture.

    The table is that of `image_table` for them.
    """
    return _check(_context(None), "images", table, [*_of_each_image(facts), _distinct_images(facts)])


def _context(data_docs: Path | None) -> Any:
    """A Great Expectations context that stores nothing and sends no analytics; its HTML report goes to `data_docs`."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read once, on import
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    sites = {}
    if data_docs:
        store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(data_docs.resolve())}
        index = {"class_name": "DefaultSiteIndexBuilder"}
        site = {"class_name": "SiteBuilder", "store_backend": store, "site_index_builder": index}
        sites["data_docs"] = site | {"show_how_to_buttons": False}
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        data_docs_sites=sites,
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _check(context: Any, name: str, table: "DataFrame", expectations: list[Any]) -> list[Finding]:
    """Run one suite over one table."""
    import great_expectations as gx

    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    batches = asset.add_batch_definition_whole_dataframe("all")
    suite = context.suites.add(gx.ExpectationSuite(name, expectations=expectations))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batches, suite=suite))
    results = definition.run(
        batch_parameters={"dataframe": table},
        result_format={
            "result_format": "SUMMARY",
            "unexpected_index_column_names": ROW_NAMES[name],
            "partial_unexpected_count": NUM_EXAMPLES,
        },
    )
    return [_finding(result) for result in results.results]


def _image_expectations(facts: DataFacts, *, num_images: int) -> list[Any]:
    """Of the table with one row per image of both splits."""
    from great_expectations import expectations as gxe

    return [
        *(_image_count(split, known) for split, known in facts.splits.items()),
        gxe.ExpectColumnValuesToBeInSet(
            column="label",
            value_set=list(range(facts.num_classes)),
            description=f"labels are 0 to {facts.num_classes - 1}",
        ),
        *_of_each_image(facts),
        gxe.ExpectColumnValuesToBeInSet(
            column="is_shared",
            value_set=[False],
            mostly=1 - facts.max_shared / num_images,
            description=f"at most {facts.max_shared} images have a copy in the other split",
        ),
        _distinct_images(facts),
    ]


def _of_each_image(facts: DataFacts) -> list[Any]:
    """Of its pixels. A missing value, as the centre of a blank image, is within any bounds."""
    from great_expectations import expectations as gxe

    def within(column: str, bounds: Range, *, mostly: float = 1) -> Any:
        description = f"{column} is {_shown(bounds)}" + (f" in {mostly:.0%} of the images" if mostly < 1 else "")
        share = {"mostly": mostly} if mostly < 1 else {}
        return gxe.ExpectColumnValuesToBeBetween(
            column=column, min_value=bounds[0], max_value=bounds[1], description=description, **share
        )

    return [
        within("height", (IMAGE_SIZE, IMAGE_SIZE)),
        within("width", (IMAGE_SIZE, IMAGE_SIZE)),
        gxe.ExpectColumnValuesToBeBetween(
            column="ink_max", min_value=0, strict_min=True, description="no image is blank"
        ),
        *(within(column, bounds, mostly=facts.mostly) for column, bounds in facts.images.items()),
    ]


def _distinct_images(facts: DataFacts) -> Any:
    from great_expectations import expectations as gxe

    return gxe.ExpectColumnProportionOfUniqueValuesToBeBetween(
        column="sha256",
        min_value=facts.min_distinct,
        description=f"at least {facts.min_distinct:.1%} of the images are distinct",
    )


def _image_count(split: str, known: SplitFacts | SplitBounds) -> Any:
    from great_expectations import expectations as gxe

    low, high = known.image_counts
    if low == high:
        description = f"{split}: {low:,} images"
        return gxe.ExpectTableRowCountToEqual(value=low, row_condition=_only(split), description=description)
    description = f"{split}: {low:,} to {high:,} images"
    return gxe.ExpectTableRowCountToBeBetween(
        min_value=low, max_value=high, row_condition=_only(split), description=description
    )


def _split_row(split: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
    shares = {f"share_{label}": count / numbers["images"] for label, count in enumerate(numbers["class_counts"])}
    return {"split": split, "mean": numbers["mean"], "std": numbers["std"], **shares}


def _split_expectations(facts: DataFacts) -> list[Any]:
    """Of the table with one row per split: each value as a mean of one row, which Great Expectations shows."""
    from great_expectations import expectations as gxe

    return [
        gxe.ExpectColumnMeanToBeBetween(
            column=column,
            min_value=bounds[0],
            max_value=bounds[1],
            row_condition=_only(split),
            description=f"{split}: {what} is {_shown(bounds)}",
        )
        for split, known in facts.splits.items()
        for column, bounds, what in (
            ("mean", known.mean, "mean of all pixels"),
            ("std", known.std, "standard deviation of all pixels"),
            *_known_shares(known),
        )
    ]


def _known_shares(known: SplitFacts | SplitBounds) -> Iterator[tuple[str, Range, str]]:
    for label, bounds in enumerate(known.class_shares):
        yield f"share_{label}", bounds, f"share of class {label}"


def _shown(bounds: Range) -> str:
    low, high = bounds
    return f"{low:g}" if low == high else f"between {low:g} and {high:g}"


def _only(split: str) -> Any:
    from great_expectations.expectations.row_conditions import Column

    return Column("split") == split


def _finding(result: Any) -> Finding:
    """Great Expectations' result without what changes from run to run."""
    assert result.result, result.exception_info  # our own tables have every column, so nothing can raise
    config = result.expectation_config
    kwargs = dict(config.kwargs)
    condition = kwargs.get("row_condition")
    percent = result.result.get("unexpected_percent")
    apart = {"batch_id", "column", "row_condition"}
    return Finding(
        description=config.description,
        expectation=config.type,
        column=kwargs.get("column"),
        split=condition["parameter"] if condition else None,
        success=bool(result.success),
        expected=_plain({key: value for key, value in kwargs.items() if key not in apart}),
        observed=_plain(result.result["observed_value"] if percent is None else percent / 100),
        unexpected_count=result.result.get("unexpected_count"),
        examples=_plain(result.result.get("partial_unexpected_index_list") or []),
    )


def _plain(value: Any) -> Any:
    """`value` in Python's own types, with floats rounded to six decimals, as JSON has them."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    value = value.item() if hasattr(value, "item") else value
    return round(value, 6) if isinstance(value, float) else value
