"""The documentation builds without a warning, knows the whole package, and links to nothing that is not there."""

import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from myst_parser.slugs import github_slugify
from sphinx.util.inventory import InventoryFile
from typer.main import get_command

from browser import new_browser
from dcgan.cli import COMMANDS, app
from dcgan.config.schema import Params, StopRule, flatten
from dcgan.system.errors import DcganError, Interrupted
from support import ROOT

DOCS = ROOT / "docs"
BUILD = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", "--nitpicky"]
PAGES = sorted(path.relative_to(DOCS) for path in DOCS.rglob("*.md"))
OUTSIDE = sorted([*ROOT.glob("*.md"), *(ROOT / "data").rglob("README.md"), *(ROOT / "deploy").rglob("README.md")])
"""Markdown that the site does not hold."""


def build(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*BUILD, source, out], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    done = build(DOCS, out)
    assert (done.returncode, done.stderr) == (0, "")
    return out


@pytest.fixture(scope="module")
def names(site: Path) -> dict[str, set[str]]:
    """What the site describes, by kind, as other sites find it."""
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    return {kind: set(described) for kind, described in inventory.data.items()}


def links_in(path: Path) -> set[str]:
    """The targets of a file's links and pictures, without those of other sites."""
    tokens = [child for token in MarkdownIt().parse(path.read_text()) for child in token.children or ()]
    targets = {str(token.attrGet("href") or token.attrGet("src") or "") for token in tokens}
    return {target for target in targets if target and "://" not in target}


def anchors_of(path: Path) -> set[str]:
    pairs = pairwise(MarkdownIt().parse(path.read_text()))
    return {github_slugify(title.content) for before, title in pairs if before.type == "heading_open"}


@pytest.mark.timeout(600)
def test_the_site_has_every_page_and_no_warning(site):
    assert [page for page in PAGES if not (site / page.with_suffix(".html")).is_file()] == []


@pytest.mark.timeout(600)
def test_every_parameter_is_described(names):
    rules = {f"train.stop_when.{field.name}" for field in dataclasses.fields(StopRule)}
    assert names["std:confval"] == flatten(Params()).keys() | rules


@pytest.mark.timeout(600)
def test_every_command_is_described_with_its_options(names):
    group = get_command(app)
    wanted = {
        f"dcgan-{name}.{option}"
        for name in COMMANDS
        for parameter in group.get_command(None, name).params
        for option in parameter.opts
        if option.startswith("--") and option != "--help"
    }
    assert wanted
    assert wanted - names["std:cmdoption"] == set()


@pytest.mark.timeout(600)
def test_every_address_of_the_service_is_described(site, service):
    page = (site / "reference/http.html").read_text()
    paths = service.get("/openapi.json").json()["paths"]
    assert [path for path in paths if path not in page] == []


@pytest.mark.timeout(600)
def test_what_people_import_is_described(names):
    assert {
        "dcgan.inference.generator.Generator.sample",
        "dcgan.gan.step.gan_step",
        "dcgan.gan.training.train",
        "dcgan.evaluation.metrics.manifold.compare_manifolds",
    } <= names["py:function"] | names["py:method"]


@pytest.mark.timeout(600)
def test_a_formula_in_a_docstring_stays_as_it_is(site):
    assert "γ/2·|∇D|²" in (site / "reference/parameters.html").read_text()
    assert "-E[log σ(D(G(z)))]" in re.sub("<[^>]*>", "", (site / "reference/python.html").read_text())


@pytest.mark.timeout(600)
def test_a_link_to_a_page_an_anchor_a_file_or_a_function_that_is_not_there_fails_the_build(tmp_path):
    source = tmp_path / "project/docs"
    shutil.copytree(DOCS / "_ext", source / "_ext")
    shutil.copytree(DOCS / "_static", source / "_static")
    shutil.copy(DOCS / "conf.py", source)
    (source.parent / "there.md").write_text("# There\n")
    (source / "index.md").write_text(
        "# Index\n\n[a](nowhere.md) [b](#no-such-heading) [c](../src/nothing.py) [d](../there.md) [e](../absent.md)\n\n"
        "{confval}`train.epoch` {py:func}`dcgan.nothing`\n"
    )
    done = build(source, tmp_path / "out")
    assert done.returncode != 0
    missing = ["nowhere.md", "no-such-heading", "../src/nothing.py", "absent", "train.epoch", "dcgan.nothing"]
    assert [target for target in missing if target not in done.stderr] == []
    assert "there.md" not in done.stderr.replace("nowhere.md", "")
    assert done.stderr.count("WARNING") == len(missing)


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_markdown_outside_the_site_lead_somewhere(path):
    for target in links_in(path):
        name, _, anchor = target.partition("#")
        linked = path.parent / name if name else path
        assert linked.exists(), target
        assert not anchor or anchor in anchors_of(linked), target


def test_the_codes_on_the_page_are_those_that_commands_end_with():
    section = (DOCS / "how-to/troubleshoot.md").read_text().partition("## Exit codes")[2].partition("\n## ")[0]
    listed = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE) for code in row.split(", ")}
    assert {error.exit_code for error in DcganError.__subclasses__() if error is not Interrupted} == {
        code for code in listed if code < 128
    }
    assert {128 + signal.SIGHUP, 128 + signal.SIGINT, 128 + signal.SIGTERM} <= listed


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_the_window_and_nothing_is_fetched_from_elsewhere(site, width):
    """What is wide scrolls in a box of its own. With SCREENSHOTS, pictures of the pages go to that folder."""
    with new_browser() as browser:
        page = browser.new_page(viewport={"width": width, "height": 844})
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        wide, broken = [], []
        for name in PAGES:
            page.goto((site / name.with_suffix(".html")).as_uri())
            if page.evaluate("document.documentElement.scrollWidth") > width:
                wide.append(str(name))
            broken += page.evaluate("[...document.images].filter(i => !i.naturalWidth).map(i => i.src)")
            if "SCREENSHOTS" in os.environ:
                page.screenshot(path=Path(os.environ["SCREENSHOTS"], f"{name.stem}-{width}.png"))
    assert (wide, broken) == ([], [])
    assert [url for url in requested if not url.startswith(("file:", "data:"))] == []
