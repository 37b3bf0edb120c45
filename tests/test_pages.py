"""Parts of the HTML pages: glossary, charts and tables, and the choice of the page for an input."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import bayespress
from bayespress.confusion import MOST_CLASSES
from bayespress.deploy.bundle.manifest import FileEntry, Manifest, TargetEntry
from bayespress.deploy.bundle.page import app_growth, bundle_page
from bayespress.deploy.measure.picture import bench_page
from bayespress.deploy.measure.report import BenchReport, DeviceReport
from bayespress.errors import InputError
from bayespress.html_report import charts
from bayespress.html_report.charts import Bar, Line
from bayespress.html_report.figures import class_parts
from bayespress.html_report.glossary import explained, glossary, parse_glossary
from bayespress.html_report.page import MOST_BYTES, Chart, Page, Section, Table
from bayespress.packed_format import Preprocessing

ROOT = Path(__file__).parent.parent


# ---- the glossary ----


def test_the_glossary_has_every_entry_of_the_document():
    text = (ROOT / "docs" / "glossary.md").read_text()
    assert len(glossary()) == len(re.findall(r"^:   ", text, re.MULTILINE)) > 20
    assert ".bpz file" in glossary(), "without the marks of code"
    assert not [meaning for meaning in glossary().values() if "\n" in meaning or "`" in meaning]
    assert glossary()["KL divergence"].endswith("in nats.")


def test_a_term_is_explained_once_and_in_the_plural():
    shown = explained("Nats & nats, nat and gnats")
    assert re.findall(r"<abbr[^>]*>(.*?)</abbr>", shown) == ["Nats"]
    assert "&amp; nats, nat and gnats" in shown
    assert "<abbr" not in explained("subtargeted bundles.py runners_up".replace("bundles", "x"))


def test_a_meaning_is_text():
    assert parse_glossary('A\n:   <b> "x"\n') == {"A": '<b> "x"'}
    assert not re.search(r'title="[^"]*[<>]', explained(" ".join(glossary())))


# ---- charts ----


def test_a_line_has_its_last_point_and_not_too_many():
    line = Line("loss", [(float(epoch), 2.0) for epoch in range(1, 1001)])
    values = charts.specification(charts.line_chart([line], "epoch", "nats"))["data"]["values"]
    assert values[0]["x"][-1] == 1000.0
    assert charts.MOST_POINTS / 2 < len(values[0]["x"]) <= charts.MOST_POINTS


@pytest.mark.parametrize(
    ("values", "kind"), [([0.1, 2.0], "log"), ([0.0, 2.0], None), ([-1.0, None, float("nan")], None)]
)
def test_an_axis_is_logarithmic_where_all_values_are_positive(values, kind):
    chart = charts.line_chart([Line("loss", list(enumerate(values)))], "epoch", "nats", log=True)
    given = charts.specification(chart)
    assert given["layer"][0]["encoding"]["y"]["scale"].get("type") == kind
    assert given["data"]["values"][0]["y"] == [value for value in values if value is not None and value == value]


def test_a_picture_is_an_svg_of_ours_with_figures_on_hover():
    chart = charts.bar_chart([Bar("a & b", 1234.0), Bar("c", 5.0)], "bytes")
    drawn = charts.picture([("sizes", chart), ("again", chart)], "whole")
    root = ET.fromstring(drawn)
    assert drawn == charts.picture([("sizes", chart), ("again", chart)], "whole"), "the same every time"
    titles = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert [title for title in titles if "bytes: 1,234" in title and "a & b" in title]
    assert not [title for title in titles if "place" in title], "our own numbers are not shown"
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"sizes", "again", "whole", "a & b", "1,234"} <= set(texts)


def test_charts_of_nothing_are_drawn():
    for chart in (charts.bar_chart([], "bytes"), charts.line_chart([], "x", "y"), charts.bar_chart([], "n", log=True)):
        assert ET.fromstring(charts.chart_svg(chart)).tag == "{http://www.w3.org/2000/svg}svg"


def test_the_picture_of_the_readme_shows_the_figures_that_are_kept():
    figures = json.loads((ROOT / "benchmarks" / "results" / "lenet-5-mnist.json").read_text())
    by_stream = [size for streams in figures["bytes_by_tensor"].values() for size in streams.values()]
    assert sum(by_stream) + figures["container_bytes"] == figures["packed_bytes"] == figures["steps"][-1]["bytes"]
    root = ET.fromstring((ROOT / "docs" / "mnist.svg").read_text())
    shown = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    latency = figures["latency"]
    wanted = [f"{step['metric']:g}" for step in figures["steps"]]
    wanted += [f"{step['nonzero']:,}" for step in figures["steps"]]
    wanted += [
        f"{latency['compiled']:g}",
        *(f"{median:g}" for median in latency["others"].values()),
        *latency["others"],
    ]
    assert set(wanted) <= set(shown)
    assert any(latency["machine"] in text for text in shown if text), "a latency stands with its machine"
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text()
    assert f"LeNet-5-Caffe, original | {latency['compiled']} µs" in results


# ---- pages ----


@pytest.mark.parametrize(("length", "most"), [(1, 400), (1000, 50)])
def test_a_long_table_is_cut_to_what_the_page_can_hold_and_says_so(length, most):
    rows = [(f"layer {number}", "x" * length) for number in range(407)]
    chart = Chart("c", charts.bar_chart([Bar("a", 1.0)], "value"))
    text = Page("t", "l", [], [Section("s", [chart, Table(("name", "count"), rows)])]).html()
    assert f"layer {most - 1}<" in text
    assert f"layer {most}<" not in text
    assert f"The first {most} of 407 rows" in text
    assert len(text.encode()) < MOST_BYTES


def test_a_page_of_many_long_curves_stays_below_a_megabyte():
    points = [(float(epoch), 0.123456789 * epoch) for epoch in range(1, 2000)]
    lines = [Line(f"layers.{number}.attention.weight", points) for number in range(100)]
    parts = [Chart("curves", charts.line_chart(lines, "epoch", "percent", log=True)) for _ in range(2)]
    page = Page("t", "l", [], [Section("s", parts)]).html()
    assert len(page.encode()) < MOST_BYTES
    assert "The first 30 of 100" in page


def manifest() -> Manifest:
    sizes = {"weights.bpz": 900, "graph.onnx": 50, "golden/input.f32": 16, "targets/phone/libnetwork.so": 50_000,
             "targets/phone/runner": 80_000, "targets/host/runner": 60_000}  # fmt: skip
    targets = {
        "phone": TargetEntry(machine="aarch64", runner="targets/phone/runner", archive="a", header="h",
                             library="targets/phone/libnetwork.so", android=True),
        "host": TargetEntry(machine="x86_64", runner="targets/host/runner", archive="a", header="h"),
    }  # fmt: skip
    return Manifest(
        name="net", input_shape=(4,), output_shape=(2,), preprocessing=Preprocessing(), labels=("cat", "dog"),
        data=None, original_parameters=1000, original_bytes=4000, packed_bytes=900, steps=(), golden_examples=1,
        decoded={}, targets=targets, files=tuple(FileEntry(path=p, size=n, sha256="0" * 64) for p, n in sizes.items()),
    )  # fmt: skip


def test_an_app_grows_by_its_library_and_the_weights():
    assert app_growth(manifest()) == {"phone": 50_900}
    cards = {(card.label, card.value) for card in bundle_page(manifest()).cards}
    assert {("An app grows by", "50.9 kB"), ("Smallest runner", "60.0 kB"), ("Weights", "900 bytes")} <= cards
    assert not [label for label, _ in cards if "rror" in label or "Latency" in label], "what was not measured is absent"


def test_a_bench_page_says_what_is_known_of_each_device():
    known = {"device": "phone", "description": "a phone", "cpu": "Cortex-A76", "governor": None, "temperature_c": 41.5,
             "peak_kb": 2048, "workspace_bytes": 0}  # fmt: skip
    timed = DeviceReport(**known, emulated=False, median_us=12.5, runs=10,
                         batches=[{"threads": 2, "examples": 256, "median_ms": 4.0}])  # fmt: skip
    counted = DeviceReport(
        **known | {"device": "qemu", "description": "an emulator"}, emulated=True, instructions=84_014
    )
    page = bench_page(BenchReport(name="net", cpu="Xeon", devices=[timed, counted]))
    assert [(card.label, card.value, card.note) for card in page.cards] == [("On phone", "12.5 µs", "Cortex-A76")]
    shown = {section.title: dict(section.parts[-1].rows) for section in page.sections[2:]}
    assert shown["a phone"]["median, µs"] == "12.5"
    assert "governor" not in shown["a phone"]
    assert shown["an emulator"]["instructions of a run"] == "84,014"
    assert "say nothing" in shown["an emulator"]["emulated"]


def test_errors_by_class():
    matrix, table = class_parts([[8, 2], [1, 9]], [[7, 3], [0, 10]], ("cat", "dog"), "test")
    assert table.rows == [("cat", "10", "20.00 %", "30.00 %", "dog (3 of 10)"), ("dog", "10", "10.00 %", "0.00 %", "")]
    (tiles,) = charts.specification(matrix.chart)["data"]["values"]
    assert set(zip(*(tiles[key] for key in ("row", "column", "count", "share")), strict=True)) == {
        (0, 0, 7, 70.0), (0, 1, 3, 30.0), (1, 1, 10, 100.0)
    }  # fmt: skip
    drawn = charts.chart_svg(matrix.chart)
    assert "0: cat" in drawn
    assert "1: dog" in drawn
    assert class_parts(None, None, (), "test") == []
    assert class_parts(None, [[0, 0], [1, 0]], (), None)[1].rows[0] == ("0", "0", "–", "")


def test_a_page_of_the_most_classes_stays_below_a_megabyte():
    counts = [[1 + (row == column) for column in range(MOST_CLASSES)] for row in range(MOST_CLASSES)]
    labels = [f"a class called {number}" for number in range(MOST_CLASSES)]
    page = Page("t", "l", [], [Section("s", class_parts(counts, counts, labels, "test"))]).html()
    assert len(page.encode()) < MOST_BYTES
    assert "The largest 1,500 of 10,000" in page


def test_the_page_is_chosen_by_what_is_there(tmp_path):
    report = BenchReport(name="net", cpu="Xeon", decode_us=3.5)
    (tmp_path / "bench.json").write_text(report.model_dump_json())
    page = bayespress.report(tmp_path / "bench.json", tmp_path / "bench.html").read_text()
    assert "net: latency" in page
    assert "3.5 µs" in page
    assert bayespress.report(tmp_path / "bench.json", tmp_path / "bench.svg").read_text().startswith("<?xml")
    (tmp_path / "empty").mkdir()
    for name in ("empty", "bench.html"):
        with pytest.raises(InputError, match=rf"{name} is no run directory.*name what"):
            bayespress.report(tmp_path / name, tmp_path / "page.html")
    with pytest.raises(InputError, match=r"bench\.json is a bench report itself.*leave"):
        bayespress.report(tmp_path / "bench.json", tmp_path / "page.html", bench=tmp_path / "bench.json")
    with pytest.raises(InputError, match=r"empty is neither.*write an \.html"):
        bayespress.report(tmp_path / "empty", tmp_path / "page.svg")
