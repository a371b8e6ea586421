"""Every manifest keeps to its schema, a planted fault is seen wherever it stands, and the manifests agree."""

import copy
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from check_manifests import OUTSIDE, fault_of
from check_manifests import main as check
from dcgan.service.limits import Limits, limits_from
from deploy_files import DEPLOY, MANIFESTS, document, documents, image_of, nodes
from support import ROOT

FREE = {
    "labels", "annotations", "matchLabels", "requests", "limits", "env", "envs", "accelerators", "overrides", "options",
    "with", "jobs", "environment", "services", "volumes", "remoteEnv",
}  # fmt: skip
"""Mappings of names that users choose, and the options of Grafana's panels, which every panel has its own of."""

ALTERNATIVES = {"ci/github-actions.yaml", *OUTSIDE}
"""Their schemas offer several forms for a field, so that a fault may name the field above it."""


def is_free(name: str, path: tuple[Any, ...]) -> bool:
    return (
        bool(FREE & {*path[-1:]})
        or "options" in path
        or (name, path[-1:]) == ("kubernetes/service.yaml", ("selector",))
    )


def test_all_manifests_keep_to_their_schemas():
    command = [sys.executable, DEPLOY / "check_manifests.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{len(MANIFESTS) + len(OUTSIDE)} manifests, 0 faults\n"
    assert {name.partition("/")[0] for name in MANIFESTS} == {
        "ci", "kubernetes", "kserve", "kubeflow", "skypilot", "grafana", "prometheus",
    }  # fmt: skip


def planted(tree: Any, path: tuple[Any, ...], key: Any, value: Any) -> Any:
    """The tree with one value put into it."""
    changed = copy.deepcopy(tree)
    place = changed
    for each in path:
        place = place[each]
    place[key] = value
    return changed


@pytest.mark.parametrize("name", [*MANIFESTS, *OUTSIDE])
def test_an_unknown_field_is_a_fault_in_every_mapping(name):
    seen = 0
    for tree in documents(name):
        for path, value in nodes(tree):
            if isinstance(value, dict) and not is_free(name, path):
                fault = fault_of(planted(tree, path, "planted", "x"), Path(name))
                assert fault, path
                assert "planted" in fault or name in ALTERNATIVES, fault
                seen += 1
    assert seen


@pytest.mark.parametrize("name", [*MANIFESTS, *OUTSIDE])
def test_a_wrong_type_is_a_fault_at_every_leaf(name):
    seen = 0
    for tree in documents(name):
        for path, value in nodes(tree):
            if path and not isinstance(value, dict | list) and "options" not in path:
                *above, key = path
                assert fault_of(planted(tree, tuple(above), key, [{"planted": "x"}]), Path(name)), path
                seen += 1
    assert seen


@pytest.mark.parametrize(
    ("name", "right", "wrong", "told"),
    [
        ("kubernetes/deployment.yaml", "readinessProbe:", "readynessProbe:", "'readynessProbe' was unexpected"),
        ("kubernetes/deployment.yaml", "kind: Deployment", "kind: Deployments", "apps/v1/Deployments: no schema"),
        ("kubernetes/deployment.yaml", "value: \"8080\"", "value: 8080", "8080 is not of type 'string'"),
        ("kubernetes/deployment.yaml", "runAsNonRoot: true", "runAsNonRoot: \"true\"", "is not of type 'boolean'"),
        ("kubernetes/hpa.yaml", "minReplicas: 2", "minReplicas: 2\n  minReplicas: 3", "duplicate key"),
        ("kserve/inferenceservice.yaml", "minReplicas: 2", "minReplicas: two", "'two' is not of type 'integer'"),
        ("kubeflow/trainjob.yaml", "numNodes: 1", "nodes: 1", "'nodes' was unexpected"),
        ("skypilot/train.yaml", "disk_size: 100", "disksize: 100", "'disksize' was unexpected"),
        ("grafana/dashboard.json", "\"gridPos\"", "\"gridpos\"", "'gridpos' was unexpected"),
        ("ci/github-actions.yaml", "fetch-depth: 0}", "fetch-depth: 0}\n        wiht: {}", "'wiht' was unexpected"),
        ("prometheus/alerts.yaml", "for: 2m", "for: 2 minutes", "'2 minutes' does not match"),
        ("prometheus/prometheus.yaml", "action: keep", "action: kep", "'kep' is not one of"),
        ("prometheus/alerts.yaml", "groups:", "groups: [", "while parsing"),
    ],
)  # fmt: skip
def test_a_typo_ends_the_check_with_65_and_names_the_file(tmp_path, capsys, *, name, right, wrong, told):
    for each in MANIFESTS:
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(DEPLOY / each, tmp_path / each)
    text = (tmp_path / name).read_text()
    assert right in text
    (tmp_path / name).write_text(text.replace(right, wrong, 1))
    assert check(tmp_path) == 65
    found = capsys.readouterr().err
    assert found.count("\n") == 1
    assert found.startswith(f"error: {name}: ")
    assert told in found


def test_a_file_that_nothing_checks_is_a_fault(tmp_path, capsys):
    (tmp_path / "helm").mkdir()
    (tmp_path / "helm/values.yaml").write_text("a: 1\n")
    assert check(tmp_path) == 65
    told = "error: helm/values.yaml: no schema; name one in deploy/check_manifests.py\n"
    assert capsys.readouterr().err == told


def test_the_vendored_schemas_name_their_sources():
    readme = (DEPLOY / "schemas/README.md").read_text()
    for path in (DEPLOY / "schemas").glob("*.json"):
        assert f"`{path.name}`" in readme or (path.name.startswith("prometheus-") and "`prometheus-*.json`" in readme)
        assert json.loads(path.read_text())


# How the manifests agree with each other and with the service


def pods() -> dict[str, dict[str, Any]]:
    """The specification of each pod."""
    return {
        "deployment": document("kubernetes/deployment.yaml")["spec"]["template"]["spec"],
        "kserve": document("kserve/inferenceservice.yaml")["spec"]["predictor"],
        "job": document("kubernetes/generate/job.yaml")["spec"]["template"]["spec"],
    }


def test_everything_in_kubernetes_selects_the_pods_of_the_deployment():
    deployment = document("kubernetes/deployment.yaml")
    labels, name = deployment["spec"]["template"]["metadata"]["labels"], deployment["metadata"]["name"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert document("kubernetes/service.yaml")["spec"]["selector"] == labels
    assert document("kubernetes/pdb.yaml")["spec"]["selector"]["matchLabels"] == labels
    assert document("kubernetes/networkpolicy.yaml")["spec"]["podSelector"]["matchLabels"] == labels
    for each in ("kubernetes/hpa.yaml", "kubernetes/hpa-in-progress.yaml"):
        assert document(each)["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        assert document(each)["spec"]["minReplicas"] > document("kubernetes/pdb.yaml")["spec"]["maxUnavailable"]
    assert "replicas" not in deployment["spec"]


def test_every_port_that_is_named_is_the_containers_and_the_one_that_the_image_listens_on():
    (container,) = pods()["deployment"]["containers"]
    (port,) = container["ports"]
    listening = {each["value"] for each in container["env"] if each["name"] == "PORT"}
    assert listening == {str(port["containerPort"])} == {image_of("serve")["ENV"]["PORT"]}
    probes = [container[f"{kind}Probe"]["httpGet"]["port"] for kind in ("startup", "readiness", "liveness")]
    service, policy = document("kubernetes/service.yaml"), document("kubernetes/networkpolicy.yaml")
    assert {*probes, service["spec"]["ports"][0]["targetPort"], policy["spec"]["ingress"][0]["ports"][0]["port"]} == {
        port["name"]
    }
    annotations = document("kubernetes/deployment.yaml")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(port["containerPort"])


@pytest.mark.parametrize("pod", ["deployment", "kserve"])
def test_a_pod_is_given_the_time_that_it_takes_to_drain(pod):
    (container,) = pods()[pod]["containers"]
    limits = limits_from([each for each in container["args"] if re.match(r"max_\w+=|\w+_seconds=", each)])
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause > 0
    assert pods()[pod]["terminationGracePeriodSeconds"] >= pause + limits.drain_seconds + 2
    assert limits.max_requests < Limits().max_requests  # 512 MB, as in compose.yaml
    compose = YAML(typ="safe").load((ROOT / "compose.yaml").read_text())["services"]["serve"]
    assert container["args"] == compose["command"]


@pytest.mark.parametrize("pod", ["deployment", "kserve", "job"])
def test_a_pod_is_nobody_and_writes_nowhere_but_into_its_volumes(pod):
    spec = pods()[pod]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] == 999
    assert "USER 999:999" in (ROOT / "Dockerfile").read_text()
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert set(container["resources"]["requests"]) == set(container["resources"]["limits"]) == {"cpu", "memory"}


def test_the_shares_of_a_job_are_as_many_as_its_pods():
    job = document("kubernetes/generate/job.yaml")["spec"]
    (container,) = job["template"]["spec"]["containers"]
    arguments = container["args"]
    assert job["completionMode"] == "Indexed"
    assert arguments[arguments.index("--jobs") + 1] == str(job["completions"])
    folder = Path(arguments[arguments.index("--shards") + 1])
    assert any(folder.is_relative_to(mount["mountPath"]) for mount in container["volumeMounts"])
    claims = {
        each["persistentVolumeClaim"]["claimName"]
        for each in job["template"]["spec"]["volumes"]
        if "emptyDir" not in each
    }
    assert claims == {document("kubernetes/generate/volume.yaml")["metadata"]["name"]}


def test_a_training_writes_into_the_volume_what_compose_keeps():
    patch = document("kubeflow/trainjob.yaml")["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]
    spec = patch["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    (claim,) = (each["persistentVolumeClaim"]["claimName"] for each in spec["volumes"])
    assert claim == document("kubeflow/volume.yaml")["metadata"]["name"]
    compose = YAML(typ="safe").load((ROOT / "compose.yaml").read_text())["services"]["train"]
    mounted = {each["mountPath"] for each in spec["containers"][0]["volumeMounts"]}
    assert mounted == {each.partition(":")[2] for each in compose["volumes"]}


@pytest.mark.parametrize("folder", ["kubernetes", "kubernetes/generate"])
def test_a_kustomization_lists_files_that_are_there_and_the_images_that_they_name(folder):
    kustomization = document(f"{folder}/kustomization.yaml")
    files = [f"{folder}/{each}" for each in kustomization["resources"]]
    assert set(files) <= set(MANIFESTS)
    images = {value for each in files for path, value in nodes(document(each)) if path[-1:] == ("image",)}
    assert images == {each["name"] for each in kustomization["images"]}


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_kubectl_puts_the_name_of_the_image_in():
    done = subprocess.run(["kubectl", "kustomize", DEPLOY / "kubernetes"], capture_output=True, text=True, check=True)
    built = list(YAML(typ="safe").load_all(done.stdout))
    assert sorted(each["kind"] for each in built) == [
        "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Service",
    ]  # fmt: skip
    assert "image: registry.example/dcgan-serve:0.1.0" in done.stdout
