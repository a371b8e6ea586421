"""The model card: Markdown with the front matter that the Hugging Face Hub reads."""

from typing import Any

from dcgan.config.schema import Params
from dcgan.config.workspace import ONNX_GENERATOR
from dcgan.figures.report import tables
from dcgan.figures.report.data_sets import CARDS, DataSetCard
from dcgan.figures.report.inputs import ReportInputs
from dcgan.figures.report.limits import limits_of
from dcgan.figures.report.tables import Evaluation
from dcgan.figures.report.templates import environment
from dcgan.figures.report.usage import examples_for

TASK = "unconditional-image-generation"
"""The Hub's name for image generation without a prompt, labels or not."""


def render_card(inputs: ReportInputs, evaluation: Evaluation) -> bytes:
    """The card for an evaluation; equal arguments give equal bytes."""
    import yaml

    params, data = inputs.params, CARDS[inputs.params.data.name]
    metadata = hub_metadata(params, data, evaluation)
    changed, _ = tables.parameter_tables(params)
    card = (
        environment()
        .get_template("MODEL_CARD.md")
        .render(
            metadata=yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=120),
            title=title_of(params),
            summary=summary_of(params),
            path=ONNX_GENERATOR.as_posix(),
            params=params,
            data=data,
            inputs=inputs,
            num_held=sum(holds for _, holds in inputs.data.expectations),
            rows=tables.metric_rows(evaluation),
            limits=limits_of(evaluation, params, data),
            changed=changed,
            seeds=tables.seed_table(params),
            identity=tables.identity_table(evaluation),
            export=inputs.export,
            examples=examples_for(params.model),
        )
    )
    return card.encode()


def title_of(params: Params) -> str:
    """The model in a few words."""
    kind = "Conditional" if params.model.conditional else "Unconditional"
    classes = f", classes {', '.join(map(str, params.data.classes))}" if params.data.classes else ""
    return f"{kind} {params.model.architecture} of {CARDS[params.data.name].title}{classes}"


def summary_of(params: Params) -> str:
    """The configuration in one sentence, without the hardware, which is not known from the parameters."""
    return f"{params.gan.summary.rpartition(', ')[0]}."


def hub_metadata(params: Params, data: DataSetCard, evaluation: Evaluation) -> dict[str, Any]:
    """The front matter: what the Hub sorts models by, and the results, each with its floor, as `model-index`."""
    name = f"{params.model.architecture}-{params.data.name.replace('_', '-')}"
    result = {
        "task": {"type": TASK, "name": "Image generation"},
        "dataset": {"type": data.hub_id or params.data.name, "name": data.title, "split": "test"},
        "metrics": [_hub_metric(row, evaluation) for row in tables.metric_rows(evaluation)],
    }
    tags = ["gan", "dcgan", "image-generation", *(["class-conditional"] if params.model.conditional else [])]
    return {
        "license": data.license_id,
        "library_name": "onnx",
        "pipeline_tag": TASK,
        "tags": [*tags, params.data.name.replace("_", "-")],
        **({"datasets": [data.hub_id]} if data.hub_id else {}),
        "model-index": [{"name": name, "results": [result]}],
    }


def _hub_metric(row: tables.Row, evaluation: Evaluation) -> dict[str, Any]:
    """A result; the Hub shows its name and value, so the name tells the floor."""
    key, ends = row.metric.key, ("floor", "spread")
    known = {end: evaluation.get(f"{key}_{end}") for end in ends}
    return {
        "type": key,
        "name": f"{row.metric.title} (real images: {row.floor})",
        "value": evaluation[key],
        "args": {end: value for end, value in known.items() if value is not None} | {"samples": row.sizes},
    }
