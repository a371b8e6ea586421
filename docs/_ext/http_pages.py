"""Every address of the service with what it takes and answers, as its own description (OpenAPI) has them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dcgan.inference.generator import Generator
from dcgan.service.app import build_app
from dcgan.service.limits import Limits
from dcgan.service.metrics import Metrics
from dcgan.service.model import ServedModel

JSON = "application/json"
BY_VERSION = "/versions/{model_version}"
WORDS = {"integer": "whole number", "number": "number", "string": "text", "null": "null", "object": "object"}
BOUNDS = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most", "exclusiveMaximum": "less than"}
LENGTHS = {"minItems": "at least", "maxItems": "at most"}
Schema = Mapping[str, Any]


def http_api() -> str:
    """The codes that all addresses answer with, then a section for each address."""
    described = _description()
    operations = {
        (method, path): operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }
    shared = next(iter(operations.values()))["responses"]
    codes = [f"- **{code}**: {answer['description']}" for code, answer in sorted(shared.items()) if code != "200"]
    sections = [
        line
        for (method, path), operation in operations.items()
        if BY_VERSION not in path
        for line in _section(method, path, operation, described)
    ]
    return "\n".join(["## Errors\n", *codes, "", *sections])


def _description() -> Schema:
    limits, metrics = Limits(), Metrics()
    model = ServedModel(Generator.pretrained, limits, metrics, threads=1)
    try:
        return build_app(model, limits=limits, metrics=metrics).openapi()
    finally:
        model.close()


def _section(method: str, path: str, operation: Schema, described: Schema) -> Iterator[str]:
    yield f"## {method.upper()} {path}\n\n{operation['description']}\n"
    versioned = path.replace("{name}", "{name}" + BY_VERSION, 1)
    if versioned != path and versioned in described["paths"]:
        yield f"Also `{versioned}`.\n"
    if body := operation.get("requestBody"):
        message = _resolved(body["content"][JSON]["schema"], described)
        needed = "required" if body.get("required") else "may be left out"
        yield f"**Body** ({needed}): {message['description']}\n"
        yield from _fields(message, described)
        yield ""
    kinds = [f"`{kind}`" for kind in operation["responses"]["200"].get("content", {})]
    told = operation["responses"]["200"]["description"].replace("Successful Response", "")
    yield f"**Answer**: {', '.join(kinds) or '`text/plain`'}. {told}\n"


def _fields(message: Schema, described: Schema, *, indent: str = "") -> Iterator[str]:
    """A list of the fields of an object, and below each that is an object, of its fields."""
    for name, field in message["properties"].items():
        default = f", default `{field['default']}`" if "default" in field else ""
        required = ", required" if name in message.get("required", ()) else ""
        told = f"{_kind(field, described)}{default}{required}. {field.get('description', '')}"
        yield f"{indent}- `{name}`: {told.rstrip()}"
        for part in _objects(field, described):
            yield from _fields(part, described, indent=f"{indent}  ")


def _kind(schema: Schema, described: Schema) -> str:
    """The type of a value in words, with its bounds."""
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_kind(each, described) for each in choices)
    if "$ref" in schema:
        return "object"
    if schema.get("type") == "array":
        items = schema["items"]
        kind = "object" if "$ref" in items else WORDS.get(items.get("type", ""))
        told = f" of {kind}s{_bounds(items, BOUNDS)}" if kind else ""
        return f"list{_bounds(schema, LENGTHS)}{told}"
    longest = f" of at most {schema['maxLength']} characters" if "maxLength" in schema else ""
    return f"{WORDS[schema['type']]}{longest}{_bounds(schema, BOUNDS)}"


def _bounds(schema: Schema, words: Mapping[str, str]) -> str:
    told = [f"{word} {_number(schema[key])}" for key, word in words.items() if key in schema]
    return f" ({', '.join(told)})" if told else ""


def _number(value: float) -> str:
    return "2^63 - 1" if value >= 2**63 - 1 else f"{value:,g}"


def _objects(schema: Schema, described: Schema) -> Iterator[Schema]:
    """The objects that a value may be, or be a list of."""
    if "$ref" in schema:
        yield _resolved(schema, described)
    for part in [*schema.get("anyOf", ()), *([schema["items"]] if schema.get("items") else ())]:
        yield from _objects(part, described)


def _resolved(schema: Schema, described: Schema) -> Schema:
    found: Schema = described["components"]["schemas"][re.sub(r".*/", "", schema["$ref"])]
    return found
