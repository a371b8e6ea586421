"""Every parameter of params.yaml: type, default, range and meaning, as config/schema.py has them."""

import dataclasses
import inspect
import json
import re
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from sphinx.errors import ExtensionError
from sphinx.pycode import ModuleAnalyzer

from dcgan.config import schema
from dcgan.config.bounds import bounds_in

WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", NoneType: "null"}


def parameters() -> str:
    """A section for each section of params.yaml, with an entry for each parameter."""
    sections = (_section(field.name, type(field.default)) for field in dataclasses.fields(schema.Params))
    return "\n".join(line for section in sections for line in section)


def _section(name: str, config: Any) -> Iterator[str]:
    yield f"## {name}\n\n{_as_markdown(inspect.getdoc(config) or '')}\n"
    yield from _entries(name, config)


def _entries(path: str, config: Any) -> Iterator[str]:
    """Those of a config dataclass, and of one that is the value of a parameter."""
    meanings = ModuleAnalyzer.for_module(config.__module__).find_attr_docs()
    for field in dataclasses.fields(config):
        name = f"{path}.{field.name}"
        if (config.__name__, field.name) not in meanings:
            raise ExtensionError(f"{name}: {config.__name__} in {config.__module__} has no docstring for it")
        meaning = " ".join(meanings[config.__name__, field.name])
        default = "none; it must be given" if field.default is dataclasses.MISSING else f"`{_as_yaml(field.default)}`"
        yield f"```{{confval}} {name}\n:type: {kind_of(field.type)}\n:default: {default}\n"
        yield _as_markdown(meaning)
        yield from (f"\nRange: {bound.expected}." for bound in bounds_in(field.type))
        yield "```\n"
        for part in get_args(field.type):
            if dataclasses.is_dataclass(part) and isinstance(part, type):
                yield from _entries(name, part)


def kind_of(annotation: Any) -> str:
    """The type of a value in words: `true or false`, or the choices."""
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return kind_of(parts[0])
    if get_origin(annotation) is Literal:
        return " or ".join(filter(None, [", ".join(f"`{part}`" for part in parts[:-1]), f"`{parts[-1]}`"]))
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(map(kind_of, parts))
    if get_origin(annotation) is tuple:
        return f"list of {kind_of(parts[0])}s"
    return WORDS.get(annotation, "a section of its own")


def _as_yaml(value: object) -> str:
    """A default as params.yaml would have it."""
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def _as_markdown(text: str) -> str:
    """A docstring with links to the pages that it names, and YAML's word for None."""
    return re.sub(r"docs/([\w/-]+\.md)", r"[](/\1)", re.sub(r"\bNone\b", "null", text))
