"""The page in headless Chromium, as a person uses it: part of `make serve-check`."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Page, Route, expect

from browser import new_browser
from running_service import Running
from tiny_onnx import WEIGHT, build_model, write_model

pytestmark = pytest.mark.slow

SCREENSHOTS = Path(os.environ["SCREENSHOTS"]) if "SCREENSHOTS" in os.environ else None
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("service")
    with Running(folder, Path(os.environ.get("MODEL") or write_model(folder / "generator.onnx"))) as running:
        yield running


@pytest.fixture
def page(service: Running) -> Iterator[Page]:
    with new_browser() as browser:
        page = browser.new_page()
        errors: list[str] = []
        requested: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if is_our_fault(message) else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requested.append(request.url))
        page.goto(service.url)
        yield page
        assert not errors
        assert not [url for url in requested if not url.startswith((service.url, "blob:", "data:"))]


def is_our_fault(message: ConsoleMessage) -> bool:
    return message.type == "error" and "422 (Unprocessable" not in message.text  # the browser's word for a refusal


def shot(page: Page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def test_digits_are_there_at_once_and_change_with_the_settings(page):
    grid = page.get_by_role("img", name=re.compile("100 handwritten images of digits 0 to 9 in turn, from seed 0"))
    expect(grid).to_be_visible()
    assert grid.evaluate("image => image.naturalWidth") == 302
    shot(page, "page")
    before = grid.get_attribute("src")
    page.get_by_label("3", exact=True).first.check()
    expect(page.get_by_role("img", name=re.compile("of the digit 3, from seed 0"))).to_be_visible()
    page.get_by_label("How many").fill("25")
    page.get_by_label("Seed", exact=True).fill("7")
    page.get_by_role("button", name="Draw").click()
    changed = page.get_by_role("img", name=re.compile("25 handwritten images of the digit 3, from seed 7"))
    expect(changed).to_be_visible()
    assert changed.get_attribute("src") != before
    expect(page.locator("#status")).to_contain_text(re.compile(r"25 images in \d+ ms"))


def test_the_slider_walks(page):
    canvas = page.get_by_role("img", name="One step of the interpolation")
    expect(page.locator("output[for=step]")).to_have_text("1/32")
    page.wait_for_function(
        "() => document.getElementById('interpolation').getContext('2d').getImageData(0, 0, 28, 28).data[3] === 255"
    )
    ink = "canvas => [...canvas.getContext('2d').getImageData(0, 0, 28, 28).data].join()"
    first = canvas.evaluate(ink)
    page.get_by_role("slider", name="Step").focus()
    page.keyboard.press("End")
    expect(page.locator("output[for=step]")).to_have_text("32/32")
    assert canvas.evaluate(ink) != first


def test_of_walks_the_one_asked_for_last_is_shown(page):
    held: list[Route] = []

    def hold(route: Route) -> None:  # a list's own method cannot be a handler
        held.append(route)

    page.route("**/v1/walks", hold)
    for seed in ("5", "6"):
        page.get_by_label("From seed").fill(seed)
        page.get_by_label("From seed").press("Tab")
    while len(held) < 2:
        page.wait_for_timeout(50)
    for route, ink in ((held[-1], 222), (held[-2], 111)):
        route.fulfill(json={"images": [[[ink] * 28] * 28] * 32})
        page.wait_for_timeout(200)
    pixel = "canvas => canvas.getContext('2d').getImageData(0, 0, 28, 28).data[0]"
    assert page.get_by_role("img", name="One step of the interpolation").evaluate(pixel) == 222


def test_a_model_that_is_told_no_digit_is_asked_for_none(page, tmp_path):
    with Running(tmp_path, write_model(tmp_path / "free.onnx", build_model(conditional=False))) as running:
        other = page.context.browser.new_page()  # the fixture's own may speak to its own service only
        other.goto(running.url)
        expect(other.get_by_role("img", name=re.compile("100 handwritten images of any digits"))).to_be_visible()
        expect(other.get_by_role("group", name="Digits")).to_be_hidden()
        expect(other.locator("#interpolation-digit")).to_be_hidden()


def test_a_model_of_other_classes_offers_them_by_their_names(page, tmp_path):
    names = {"num_classes": "3", "class_names": '["three", "<b>five</b>", "8"]', "dataset": "images"}
    with Running(tmp_path, write_model(tmp_path / "three.onnx", build_model(weight=WEIGHT / 4, **names))) as running:
        other = page.context.browser.new_page()  # the fixture's own may speak to its own service only
        other.goto(running.url)
        expect(other.get_by_role("img", name=re.compile("100 handwritten images of 3 classes in turn"))).to_be_visible()
        offered = other.get_by_role("group", name="Classes").get_by_role("checkbox")
        expect(offered).to_have_count(3)
        other.get_by_label("<b>five</b>").first.check()
        expect(other.get_by_role("img", name=re.compile("of the digit <b>five"))).to_be_visible()
        assert other.locator("#interpolation-digit option").all_inner_texts() == ["three", "<b>five</b>", "8"]
        shot(other, "three-classes")


def test_a_count_that_is_refused_is_told(page):
    page.get_by_label("How many").evaluate("field => { field.max = 10000; }")
    page.get_by_label("How many").fill("5000")
    with page.expect_response("**/v1/images"):
        page.get_by_role("button", name="Draw").click()
    expect(page.locator("#status")).to_contain_text("count: 5000 is more than the 1,000")


def test_the_keyboard_alone_is_enough(page):
    page.keyboard.press("Tab")
    expect(page.get_by_label("0", exact=True).first).to_be_focused()
    page.keyboard.press("Space")
    expect(page.get_by_role("img", name=re.compile("of the digit 0"))).to_be_visible()
    page.get_by_label("Seed", exact=True).focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.get_by_role("img", name=re.compile("of the digit 0, from seed 1"))).to_be_visible()


def test_the_download_is_the_grid_and_the_command_draws_the_same(page, service, tmp_path):
    with page.expect_download() as download:
        page.get_by_role("link", name="Download PNG").click()
    saved = tmp_path / "grid.png"
    download.value.save_as(saved)
    assert download.value.suggested_filename == "digits.png"
    page.evaluate("() => { navigator.clipboard.writeText = async (text) => { window.copied = text; }; }")
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.locator("#status")).to_have_text("Copied.")
    command = page.evaluate("() => window.copied")
    body = re.search(r"-d '(.*?)'", command).group(1)
    assert service.ask(body=body.encode(), accept="image/png") == saved.read_bytes()


def test_it_fits_a_phone(page):
    page.set_viewport_size(PHONE)
    expect(page.get_by_role("img", name=re.compile("100 handwritten"))).to_be_visible()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE["width"]
    shot(page, "phone")


def test_the_api_is_described(page, service):
    page.goto(service.url + "/docs")
    expect(page.get_by_role("heading", name="POST /v1/images")).to_be_visible()
    expect(page.get_by_role("heading", name="POST /v2/models/{name}/infer", exact=True)).to_be_visible()
    expect(page.get_by_role("cell", name="truncation").first).to_be_visible()
    shot(page, "docs")
