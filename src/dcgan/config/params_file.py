"""params.yaml, parsed once and strictly: an unknown or mistyped parameter is refused by its dotted path."""

import dataclasses
import difflib
import hashlib
import json
import math
import os
import re
import types
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml

from dcgan.config.bounds import Section
from dcgan.config.rules import refuse_bad_data, refuse_misfits, refuse_missing_files
from dcgan.config.schema import NUM_CLASSES, WITHOUT_EFFECT, Params, flatten
from dcgan.system.errors import UsageError
from dcgan.system.redaction import redacted

AnySection = TypeVar("AnySection", bound=Section)

LATER = {"data.classes": None, "model.num_classes": NUM_CLASSES, "train.init_from": None}
"""Parameters that came after models had been published, with the value of those, which does not count."""
NOT_THERE = dict.fromkeys(
    ("image_size", "resolution", "img_size"), "; images are 28x28 and no other size can be set; scale the files instead"
)
"""Parameters that other projects have, and what to say of them instead of a word that looks alike."""
LIKENESS = 0.65
"""Of a suggestion to the word that is not known, as difflib measures it: 0 to 1."""

_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple[str, ...]: "a list of texts",
    tuple[int, ...]: "a list of whole numbers",
    type(None): "null",
}
_TWO_READINGS = re.compile(r"[-+]?0[0-7_]+|.*:.*")
"""Numbers that YAML 1.1 and DVC's YAML 1.2 read differently: `010` is 8 or 10, `1:30` is 90 or text."""
_SWITCHES = {True: "on", False: "off"}
"""YAML 1.1 reads `on` and `off` as truth values, as it does `true` and `false`."""


def load_params(path: Path, *, needs_files: bool = True) -> Params:
    """Read the parameters in the YAML file `path`; what it leaves out has its default.

    Args:
        path: the file; relative paths in it are relative to its folder.
        needs_files: whether the files that it names have to be there, for what evaluates a model or leads to that.

    Raises:
        UsageError: the file is missing or not YAML, or a parameter is unknown, of the wrong type, out of bounds, holds
            a secret, does not go with the others or names a missing file; the message names it by its dotted path.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 a SafeLoader
    except FileNotFoundError:
        raise UsageError(f"{path}: missing in {path.resolve().parent}; run from the folder that holds it") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not valid YAML: {redacted(' '.join(str(error).split()))}") from error
    try:
        params = _parse(Params, content)
        if needs_files:
            refuse_missing_files(params, path.parent)
    except ValueError as error:
        raise UsageError(f"{path}: {redacted(str(error))}{_left_by_dvc(path)}") from error
    return params


def _left_by_dvc(path: Path) -> str:
    """What to know of a value that `dvc exp run -S A=B` wrote: without --temp it stays, and fails the next run too."""
    is_in_workspace = Path(os.environ.get("DVC_ROOT", "")).absolute() == path.parent.absolute()
    return f" (it stays in {path} until you take it out)" if "DVC_EXP_NAME" in os.environ and is_in_workspace else ""


def changed(config: AnySection, changes: Mapping[str, Any]) -> AnySection:
    """A copy of a config with values changed by their dotted path, as `train.epochs`, and checked as in a file.

    Raises:
        UsageError: as `load_params`.
    """
    content = dataclasses.asdict(config)
    for path, value in changes.items():
        *sections, name = path.split(".")
        part = content
        for section in sections:
            part = part.setdefault(section, {})
        part[name] = value
    try:
        return _parse(type(config), content)
    except ValueError as error:
        raise UsageError(redacted(str(error))) from error


def params_sha256(params: Params) -> str:
    """SHA-256 of the parameters that shape the trained generator, in canonical JSON."""
    classes = params.data.classes and sorted(params.data.classes)  # their order in the file does not count
    values = {"data.name": params.data.name, "data.classes": classes, **flatten(params.gan)}
    shaping = {
        path: value
        for path, value in values.items()
        if path.rpartition(".")[2] not in WITHOUT_EFFECT and LATER.get(path, ...) != value
    }
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()


def _parse(kind: type[AnySection], content: object) -> AnySection:
    """The config that `content` describes, every rule checked."""
    config = _section(kind, _with_num_classes(content) if kind is Params else content, "")
    if isinstance(config, Params):
        refuse_misfits(config.gan)
        refuse_bad_data(config)
    return config


def _with_num_classes(content: object) -> object:
    """The same, with `model.num_classes` as `data` tells it where the file does not say it."""
    if not isinstance(content, Mapping):
        return content
    data, model = content.get("data") or {}, content.get("model") or {}
    if not isinstance(data, Mapping) or not isinstance(model, Mapping) or "num_classes" in model:
        return content
    if isinstance(classes := data.get("classes"), list | tuple) and classes:
        return {**content, "model": {**model, "num_classes": len(classes)}}
    if data.get("name") == "images":
        raise ValueError("missing parameter model.num_classes: how many classes the images have, which only you know")
    return content


def _section(kind: type[AnySection], content: object, path: str) -> AnySection:
    """Build the dataclass `kind` from a YAML mapping found at the dotted `path`."""
    if not isinstance(content, Mapping):
        raise ValueError(f"{path or 'the file'}: expected a mapping of parameters, found {_shown(content)}")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    known = f"; known are {', '.join(fields)}"
    for key in content:
        if key not in fields:
            hint = NOT_THERE.get(str(key)) or _suggestion(key, fields, path) or known
            raise ValueError(f"unknown parameter {_dotted(path, key)}{hint}")
    missing = [name for name, field in fields.items() if field.default is dataclasses.MISSING and name not in content]
    if missing:
        raise ValueError(f"missing parameter {', '.join(_dotted(path, name) for name in missing)}")
    values = {key: _value(fields[key].type, content[key], _dotted(path, key)) for key in content}
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(_dotted(path, error)) from error


def _value(kind: Any, value: object, path: str) -> object:
    """`value` as the annotation `kind` wants it; a section without content has its defaults."""
    if value is None and _is_section(kind):
        value = {}
    options = _options(kind)
    for option in options:
        if _is_section(option) and isinstance(value, Mapping):
            return _section(option, value, path)
        try:
            return _plain_value(option, value)
        except TypeError:
            continue
    choices = [choice for option in options if get_origin(option) is Literal for choice in get_args(option)]
    expected = " or ".join(map(_described, options))
    raise ValueError(f"{path}: expected {expected}, found {_shown(value)}{_suggestion(value, choices)}")


def _options(kind: Any) -> list[Any]:
    """The kinds that an annotation allows, without their bounds."""
    if get_origin(kind) is Annotated:
        return _options(get_args(kind)[0])
    is_union = get_origin(kind) in (Union, types.UnionType)
    return [option for each in get_args(kind) for option in _options(each)] if is_union else [kind]


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _plain_value(kind: Any, value: object) -> object:
    """`value` if it is of `kind`; TypeError otherwise."""
    if get_origin(kind) is Literal:
        value = _SWITCHES.get(value, value) if isinstance(value, bool) else value
        if isinstance(value, str) and value in get_args(kind):
            return value
    if kind is float:
        return _number(value)
    if (
        get_origin(kind) is tuple
        and isinstance(value, list | tuple)
        and all(type(v) is get_args(kind)[0] for v in value)
    ):
        return tuple(value)
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise TypeError


def _number(value: object) -> float:
    """A finite number; YAML 1.1 reads `2e-4` as text, which is taken for the number it is."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise TypeError from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    try:
        number = float(value)
    except OverflowError:  # of a whole number with more than 308 digits
        raise TypeError from None
    if not math.isfinite(number):
        raise TypeError
    return number


def _described(kind: Any) -> str:
    if _is_section(kind):
        return "a mapping of parameters"
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    return _KINDS[kind]


def _shown(value: object) -> str:
    return "null" if value is None else repr(value)


def _dotted(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _suggestion(word: object, known: Iterable[str], path: str = "") -> str:
    nearest = difflib.get_close_matches(str(word), known, n=1, cutoff=LIKENESS)
    return f"; did you mean {_dotted(path, nearest[0])}?" if nearest else ""


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key given twice, of which YAML would keep the last; of a number with two readings it keeps the text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping, checking that its keys are unique."""
        keys = [key.value for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            line = node.start_mark.line + 1
            raise yaml.YAMLError(f"parameter {twice} is given twice in the mapping at line {line}")
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> object:
        """The number, as YAML 1.1 reads it, if DVC reads the same."""
        if _TWO_READINGS.fullmatch(node.value):
            return self.construct_scalar(node)
        is_int = node.tag.endswith(":int")
        return self.construct_yaml_int(node) if is_int else self.construct_yaml_float(node)


for _tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
    _StrictLoader.add_constructor(_tag, _StrictLoader.construct_number)
