"""Pages in headless Chromium: charts are drawn, no network request is made, and every width of the window works."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import bayespress
from bayespress.deploy.measure.report import BenchReport
from bayespress.workflow.bundle import build_packed
from bayespress.workflow.compression import compress_run
from bayespress.workflow.report import write_report
from bayespress.workflow.training import new_record

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PAGES = ("run", "packed", "bundle", "bench")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("pages"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: Debian's package chromium"),
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """The four pages of a network that was trained for a few epochs, and the page inside its bundle."""
    from bayespress.train.training_run import train_run

    folder = tmp_path_factory.mktemp("pages")
    train_run(folder / "run", new_record("demo/digits", {"training.epochs": 12}), live=False)
    compress_run(folder / "run", folder / "packed")
    build_packed(folder / "packed", folder / "net.bundle", ["host"])
    report: BenchReport = bayespress.bench(folder / "net.bundle", folder / "packed", seconds=0.1)
    (folder / "bench.json").write_text(report.model_dump_json())
    found = {}
    for name, path in zip(PAGES, ("run", "packed", "net.bundle", "bench.json"), strict=True):
        bench = folder / "bench.json" if name in ("packed", "bundle") else None
        found[name] = write_report(folder / path, folder / f"{name}.html", bench)
    return {**found, "inside": folder / "net.bundle" / "report.html"}


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Tests run as root in containers, where Chromium has no sandbox.
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Seen:
    """An open page, its messages on the console, and its network requests."""

    def __init__(self, browser, path: Path, width: int = 1200, scheme: str = "light") -> None:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.page = context.new_page()
        self.console: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_function("document.querySelectorAll('.chart > div:not(:has(svg))').length === 0")

    def count(self, selector: str) -> int:
        return self.page.locator(selector).count()

    def value(self, script: str):
        return self.page.evaluate(script)


@pytest.mark.parametrize("name", [*PAGES, "inside"])
def test_a_page_draws_its_charts_and_asks_for_nothing(name, pages, browser):
    size = pages[name].stat().st_size
    assert size < (100_000 if name == "inside" else 1_000_000)
    seen = Seen(browser, pages[name])
    assert seen.console == []
    assert [url for url in seen.requests if not url.startswith("data:")] == [pages[name].as_uri()]
    charts = seen.count(".chart > div")
    assert charts >= 1
    assert seen.count(".chart > div svg") == charts
    # Each chart has visible marks, not only axes.
    empty = """[...document.querySelectorAll('.chart svg')].filter(svg => ![...svg.querySelectorAll('.role-mark path')]
        .some(mark => mark.getBoundingClientRect().width + mark.getBoundingClientRect().height > 1)).length"""
    assert seen.value(empty) == 0
    assert seen.value("typeof window.vegaEmbed") == ("undefined" if name == "inside" else "function")


@pytest.mark.parametrize("name", [*PAGES, "inside"])
def test_a_narrow_window_scrolls_tables_and_not_the_page(name, pages, browser):
    seen = Seen(browser, pages[name], width=360)
    assert seen.value("document.documentElement.scrollWidth <= window.innerWidth")
    widths = seen.value("[...document.querySelectorAll('.chart svg')].map(svg => svg.getBoundingClientRect().right)")
    assert max(widths) <= 360
    if name in ("packed", "bundle"):
        scrolls = "[...document.querySelectorAll('.scroll')].some(table => table.scrollWidth > table.clientWidth)"
        assert seen.value(scrolls)


def test_a_chart_follows_the_width_of_the_window(pages, browser):
    seen = Seen(browser, pages["packed"])
    width = "document.querySelector('.chart svg').getBoundingClientRect().width"
    before = seen.value(width)
    seen.page.set_viewport_size({"width": 400, "height": 800})
    seen.page.wait_for_function(f"{width} < {before} && {width} > 200")
    assert 200 < seen.value(width) < before


@pytest.mark.parametrize("name", ["packed", "inside"])
def test_dark_mode_is_dark_and_its_charts_can_be_read(name, pages, browser):
    colours = """[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,
        getComputedStyle(document.querySelector('.chart svg .role-axis-label text')).fill]"""
    light = [brightness(colour) for colour in Seen(browser, pages[name]).value(colours)]
    dark = [brightness(colour) for colour in Seen(browser, pages[name], scheme="dark").value(colours)]
    assert light[0] > 200 > 100 > max(light[1:])
    assert dark[0] < 60 < 180 < min(dark[1:])


def brightness(colour: str) -> float:
    """The mean of `rgb(r, g, b)`, from 0 to 255."""
    return sum(map(int, colour[colour.index("(") + 1 : -1].split(",")[:3])) / 3


def test_figures_appear_on_hover(pages, browser):
    seen = Seen(browser, pages["packed"])
    seen.page.locator(".chart svg .role-mark path").first.hover()
    seen.page.wait_for_selector("#vg-tooltip-element.visible")
    assert "non-zero parameters" in seen.page.locator("#vg-tooltip-element").inner_text()
    inside = Seen(browser, pages["inside"])
    assert "non-zero parameters" in inside.page.locator(".chart svg .role-mark path title").first.text_content()
    assert seen.page.locator("abbr").first.get_attribute("title")


def test_ticks_are_plain_numbers(pages, browser):
    for name in PAGES:
        texts = Seen(browser, pages[name]).page.locator(".chart svg .role-axis-label text").all_text_contents()
        numbers = [text for text in texts if text[:1].isdigit()]
        assert len(numbers) > 5
        assert not [text for text in numbers if "e" in text or "⁰" in text or text.endswith(("k", "M", "m", "µ"))]
