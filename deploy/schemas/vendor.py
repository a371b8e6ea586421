"""Take the schemas of this folder from the packages that publish them; README.md has the command."""

import ast
import importlib.util
import inspect
import json
import re
import typing
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KUBERNETES = "kubernetes_validate/kubernetes-json-schema/v1.37.0-local-strict"
KINDS = ["deployment-apps-v1", "service-v1", "horizontalpodautoscaler-autoscaling-v2", "poddisruptionbudget-policy-v1",
         "networkpolicy-networking-v1", "job-batch-v1", "persistentvolumeclaim-v1"]  # fmt: skip
PLAIN = {"str": "string", "int": "integer", "bool": "boolean", "float": "number", "datetime": "string"}
Schema = dict[str, Any]


def package(name: str) -> Path:
    """Where an installed package is, without importing it."""
    found = importlib.util.find_spec(name)
    assert found, f"{name} is not installed"
    assert found.origin, f"{name} is no package"
    return Path(found.origin).parent


def strict(properties: Schema, *required: str) -> Schema:
    """An object of these properties and no others."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def kubernetes() -> tuple[Schema, Schema]:
    """The kinds of Kubernetes by `apiVersion/kind`, and all definitions that there are."""
    folder = package("kubernetes_validate").parent / KUBERNETES
    definitions, kinds = json.loads((folder / "_definitions.json").read_text())["$defs"], {}
    for name in KINDS:
        text = (folder / f"{name}.json").read_text().replace("/api/_definitions.json#", "#")
        schema = json.loads(text)
        properties = {key: value for key, value in schema["properties"].items() if key != "status"}
        (version,), (kind,) = (properties[key].pop("enum") for key in ("apiVersion", "kind"))
        properties |= {"apiVersion": {"const": version}, "kind": {"const": kind}}
        kinds[f"{version}/{kind}"] = strict(properties, "apiVersion", "kind", "metadata", *schema.get("required", []))
    return kinds, definitions


def core_name(name: str, known: Schema) -> str:
    """The definition of Kubernetes that other APIs call V1Container, IoK8sApiCoreV1EnvVar or ResourceQuantity."""
    end = re.sub(r"^(IoK8s|K8sIo)Api(machineryPkgApis?)?|^V1(beta1Metric)?(?=[A-Z])", "", name).lower()
    ends = {each.replace(".", "").lower(): each for each in known}
    found = sorted((each for each in ends if each.endswith(end)), key=lambda each: ("core" not in each, len(each)))
    assert found, f"{name}: not in Kubernetes"
    return ends[found[0]]


def kserve(known: Schema) -> Schema:
    """InferenceService as KServe's client has it: classes with their types in a table."""
    made: Schema = {}

    def of_type(name: str) -> Schema:
        if name in PLAIN:
            return {"type": PLAIN[name]}
        if inner := re.fullmatch(r"list\[(.*)\]", name):
            return {"type": "array", "items": of_type(inner[1])}
        if inner := re.fullmatch(r"dict\(str, (.*)\)", name):
            return {"type": "object", "additionalProperties": of_type(inner[1])}
        if name == "object":
            return {}
        file = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
        path = package("kserve") / f"models/{file}.py"
        if not path.exists():
            return {"$ref": f"#/$defs/{core_name(name, known)}"}
        if name not in made:
            made[name] = {}
            tables = {
                each.targets[0].id: ast.literal_eval(each.value)
                for each in ast.walk(ast.parse(path.read_text()))
                if isinstance(each, ast.Assign)
                and isinstance(each.targets[0], ast.Name)
                and each.targets[0].id in {"openapi_types", "attribute_map"}
            }
            keys = tables["attribute_map"]
            made[name] = strict({keys[each]: of_type(kind) for each, kind in tables["openapi_types"].items()})
        return {"$ref": f"#/$defs/{name}"}

    of_type("V1beta1InferenceServiceSpec")
    return made


def kubeflow(known: Schema) -> Schema:
    """TrainJob as Kubeflow's API package has it: pydantic models, which let unknown fields pass."""
    spec = import_module("kubeflow_trainer_api.models.trainer_v1alpha1_train_job_spec").TrainerV1alpha1TrainJobSpec
    schema = spec.model_json_schema(by_alias=True)
    made = {name: value for name, value in schema.pop("$defs").items() if not name.startswith("IoK8s")}
    for value in (*made.values(), schema):
        value["additionalProperties"] = False
    made["TrainJobSpec"] = schema
    text = re.sub(r"#/\$defs/(IoK8s\w+)", lambda ref: f"#/$defs/{core_name(ref[1], known)}", json.dumps(made))
    linked: Schema = json.loads(text)
    return linked


def grafana() -> Schema:
    """A dashboard as Grafana's foundation SDK has it, with queries of Prometheus."""
    dashboard = import_module("grafana_foundation_sdk.models.dashboard")
    prometheus = import_module("grafana_foundation_sdk.models.prometheus")
    made: Schema = {}

    def of_type(kind: Any) -> Schema:  # noqa: PLR0911 one for each kind of type
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin is typing.Union:
            kinds = [each for each in arguments if each not in {type(None), dashboard.RowPanel}]
            return of_type(kinds[0]) if len(kinds) == 1 else {"anyOf": [of_type(each) for each in kinds]}
        if origin is list:
            return {"type": "array", "items": of_type(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": of_type(arguments[1])}
        if origin is typing.Literal:
            return {"enum": list(arguments)}
        if kind is object:
            return {}
        if kind.__name__ in PLAIN:
            return {"type": PLAIN[kind.__name__]}
        if hasattr(kind, "__members__"):
            return {"enum": [each.value for each in kind]}
        kind = prometheus.Dataquery if kind.__name__ == "Dataquery" else kind
        if kind.__name__ not in made:
            made[kind.__name__] = {}
            source = inspect.getsource(kind.to_json)
            pairs = re.findall(r'"(\w+)"(?:\] =|:) self\.(\w+)', source)
            keys = {name: key for key, name in pairs}
            made[kind.__name__] = strict(
                {keys[name]: of_type(each) for name, each in typing.get_type_hints(kind).items()}
            )
        return {"$ref": f"#/$defs/{kind.__name__}"}

    start = of_type(dashboard.Dashboard)
    made["Dataquery"]["properties"]["datasource"] = of_type(dashboard.DataSourceRef)  # which says that it is any object
    return {**start, "$defs": made}


def skypilot() -> Schema:
    """A task of SkyPilot, whose `resources` its own schema leaves open."""
    schemas = import_module("sky.utils.schemas")
    task, resources = schemas.get_task_schema(), schemas.get_resources_schema()
    task["properties"]["resources"] = {key: value for key, value in resources.items() if key != "$schema"}
    return dict(task)


def collected(name: str) -> Schema:
    """A schema that check-jsonschema carries; words of draft 7 become those of 2020-12."""
    text = (package("check_jsonschema") / f"builtin_schemas/vendor/{name}.json").read_text()
    text = text.replace('"definitions"', '"$defs"').replace("#/definitions/", "#/$defs/")
    schema = json.loads(text.replace('"dependencies"', '"dependentRequired"'))
    return {key: value for key, value in schema.items() if key not in {"$schema", "$id", "$comment"}}


def reachable(kinds: Schema, definitions: Schema) -> Schema:
    """The definitions that the kinds need."""
    found: set[str] = set()
    new = set(re.findall(r'"#/\$defs/([^"]+)"', json.dumps(kinds)))
    while new:
        found |= new
        new = {
            each for name in new for each in re.findall(r'"#/\$defs/([^"]+)"', json.dumps(definitions[name]))
        } - found
    return {name: definitions[name] for name in sorted(found)}


def bare(schema: Any) -> Any:
    """A schema without what only describes; `properties` and the like hold names, not keywords."""
    if isinstance(schema, list):
        return [bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    said = {"description", "title", "default"}
    names = {"properties", "$defs", "patternProperties"}
    return {key: {name: bare(each) for name, each in value.items()} if key in names else bare(value)
            for key, value in schema.items() if not (key in said or key.startswith("x-"))}  # fmt: skip


def write(name: str, schema: Schema) -> None:
    """Write a schema with one definition a line."""
    short = bare(schema)
    definitions = short.pop("$defs", {})
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in short.items()]
    if definitions:
        each = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in definitions.items())
        lines.append(f'"$defs": {{\n{each}\n}}')
    joined = ",\n".join(lines)
    text = f"{{\n{joined}\n}}\n"
    (HERE / f"{name}.json").write_text(text)
    print(f"{name}.json: {len(text):,} bytes")


def main() -> None:
    """Write all of them."""
    kinds, known = kubernetes()
    definitions = known | kserve(known) | kubeflow(known)
    metadata = {"$ref": "#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    for version, kind, spec in (("serving.kserve.io/v1beta1", "InferenceService", "V1beta1InferenceServiceSpec"),
                                ("trainer.kubeflow.org/v1alpha1", "TrainJob", "TrainJobSpec")):  # fmt: skip
        properties = {"apiVersion": {"const": version}, "kind": {"const": kind}, "metadata": metadata}
        kinds[f"{version}/{kind}"] = strict(
            properties | {"spec": {"$ref": f"#/$defs/{spec}"}}, "apiVersion", "kind", "metadata", "spec"
        )
    write("kubernetes", {"$defs": {**kinds, **reachable(kinds, definitions)}})
    write("grafana", grafana())
    write("skypilot", skypilot())
    write("github-workflows", collected("github-workflows"))
    write("compose", collected("compose-spec"))


if __name__ == "__main__":
    main()
