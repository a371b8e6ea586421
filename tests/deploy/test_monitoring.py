"""Every metric and label that alerts, dashboard and autoscaler name is one that the service tells."""

import json
import re

import pytest

from deploy_files import DEPLOY, document, nodes
from service_client import Service

OF_PROMETHEUS = {"up": {"job", "instance"}}
"""What Prometheus makes itself, and the labels that it, or the scrape configuration, gives to every metric."""
GIVEN = {"job", "instance", "namespace", "pod"}


def queries() -> dict[str, str]:
    """Every expression, by where it stands."""
    alerts = {
        each["alert"]: each["expr"] for group in document("prometheus/alerts.yaml")["groups"] for each in group["rules"]
    }
    panels = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in document("grafana/dashboard.json")["panels"]
        for target in panel["targets"]
    }
    adapter = {
        f"adapter {each['seriesQuery'][:20]}": each["seriesQuery"]
        for each in document("prometheus/adapter.yaml")["rules"]
    }
    return alerts | panels | adapter


@pytest.fixture
def told(service: Service) -> dict[str, list[dict[str, str]]]:
    """The service's metrics after a day's work, each with the labels of its series."""
    service.images(count=3)
    service.images(count=-1)
    service.post("/v1/walks", json={"from_seed": 1, "to_seed": 2, "steps": 3})
    service.infer(inputs=[])
    series: dict[str, list[dict[str, str]]] = {}
    for name, labels in re.findall(r"^(dcgan_\w+?)(?:\{(.*)\})? \S+$", service.get("/metrics").text, re.MULTILINE):
        series.setdefault(name, []).append(dict(re.findall(r'(\w+)="([^"]*)"', labels)))
    return series


def selectors(query: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """The metrics of an expression, each with its matchers: label, operator, value."""
    functions = r"\b(?:sum|rate|increase|absent|vector|histogram_quantile|time|max|min|by|or|and|le)\b"
    bare = re.sub(r"\bby \([\w, ]*\)", "", query)
    found = re.findall(
        r"\b([a-z]\w+)\b(?!\s*\()(?:\{([^}]*)\})?", re.sub(r"\[[^\]]*\]", "", re.sub(functions, " ", bare))
    )
    return [(name, re.findall(r'(\w+)\s*(=~|!=|=|!~)\s*"([^"]*)"', inside)) for name, inside in found]


@pytest.mark.parametrize("place", queries())
def test_an_expression_names_metrics_labels_and_values_that_exist(told, place):
    query = queries()[place]
    assert selectors(query)
    for metric, matchers in selectors(query):
        assert metric in told or metric in OF_PROMETHEUS, metric
        labels = {label for each in told.get(metric, []) for label in each} | OF_PROMETHEUS.get(metric, GIVEN)
        for label, operator, value in matchers:
            assert label in labels, f"{metric} has no label {label}"
            seen = {each[label] for each in told.get(metric, []) if label in each}
            if label == "status" or not seen:  # an error that did not happen today
                continue
            matches = [one for one in seen if re.fullmatch(value if "~" in operator else re.escape(value), one)]
            assert matches, f"{metric}: no {label} is {value}; there are {seen}"
    for label in re.findall(r"\bby \((\w+)\)", query):
        assert any(label in labels for metric, _ in selectors(query) for labels in told[metric]), label


def test_the_selectors_of_an_expression_are_found():
    query = 'histogram_quantile(0.99, sum by (le) (rate(a_bucket{b=~"x|y", c="z"}[5m]))) / dd > 0.5 or up == 1'
    assert selectors(query) == [("a_bucket", [("b", "=~", "x|y"), ("c", "=", "z")]), ("dd", []), ("up", [])]


def test_the_routes_of_the_latency_are_all_that_draw(told):
    (expression,) = (query for place, query in queries().items() if place == "DcganIsSlow")
    pattern = re.search(r'route=~"([^"]*)"', expression)[1]
    routes = {each["route"] for each in told["dcgan_request_seconds_count"]}
    assert {each for each in routes if re.fullmatch(pattern, each)} == {
        "/v1/images", "/v1/walks", "/v2/models/{name}/infer",
    }  # fmt: skip


def test_the_autoscaler_asks_for_the_metric_that_the_adapter_makes_below_the_pods_limit(told):
    scaler = document("kubernetes/hpa-in-progress.yaml")["spec"]["metrics"]
    (pods,) = (each["pods"] for each in scaler if each["type"] == "Pods")
    (rule,) = document("prometheus/adapter.yaml")["rules"]
    assert pods["metric"]["name"] in told
    assert rule["seriesQuery"].startswith(f"{pods['metric']['name']}{{")
    (container,) = document("kubernetes/deployment.yaml")["spec"]["template"]["spec"]["containers"]
    (limit,) = (
        int(each.removeprefix("max_requests=")) for each in container["args"] if each.startswith("max_requests=")
    )
    assert 0 < int(pods["target"]["averageValue"]) < limit


def test_prometheus_finds_the_pods_of_the_deployment_and_kserves():
    (job,) = document("prometheus/prometheus.yaml")["scrape_configs"]
    assert {f'job="{job["job_name"]}"'} == set(
        re.findall(r'job="\w+"', json.dumps(list(queries().values())).replace("\\", ""))
    )
    keep = next(each for each in job["relabel_configs"] if each["action"] == "keep")
    deployment = document("kubernetes/deployment.yaml")["spec"]["template"]
    kserve = document("kserve/inferenceservice.yaml")["spec"]["predictor"]
    for labels, pod in ((deployment["metadata"]["labels"], deployment["spec"]), (kserve["labels"], kserve)):
        port = pod["containers"][0]["ports"][0]["name"]
        assert re.fullmatch(keep["regex"], f"{labels['app.kubernetes.io/name']};{port}")
    assert kserve["labels"] != deployment["metadata"]["labels"]  # which the Service selects
    assert document("prometheus/prometheus.yaml")["rule_files"] == ["alerts.yaml"]


def test_the_dashboards_panels_do_not_overlap_and_have_their_own_ids():
    panels = document("grafana/dashboard.json")["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    sources = {value for path, value in nodes(panels) if path[-1:] == ("uid",)}
    assert sources == {"${datasource}"}
    assert (DEPLOY / "grafana/dashboard.json").read_text().endswith("}\n")
