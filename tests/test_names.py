"""Untrusted names are printed as plain text in tables, pages, pictures, progress and errors."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from bayespress import codec, text
from bayespress.cli import console
from bayespress.cli.inspect import tensors_table
from bayespress.packed_format import LayerRecord, PackedRecord, StepRecord

HOSTILE = (
    "[red]w", "a[/b]", "<script>alert(1)</script>", "$x_1^2$", "$\\frac{", "_hidden", "50% & more", ":smile:", "1.5",
    "back\\slash$", "日本語", "\u202edrow", "zero\u200bwidth",
)  # fmt: skip
CONTROLS = ("\x1b]0;title\x07", "line\nbreak", "tab\there", "\ud800", "\x9b31m")


@pytest.mark.parametrize("name", [*HOSTILE, *CONTROLS])
def test_a_table_shows_names_as_plain_text(name, capsys):
    console.show(console.table(name, (name, "x"), [(name, 1)]), f"Next: {name}")
    shown = capsys.readouterr().out
    assert text.printable(name) in shown
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)
    assert len(shown.splitlines()) == len([line for line in shown.split("\n") if line])


@pytest.mark.parametrize("log", [console.step, console.note])
def test_progress_is_one_line_of_text(log, capsys):
    log("trained a\nb \x1b[2J \u202ec")
    assert capsys.readouterr().err[2:] == "trained a\\nb \\x1b[2J \\u202ec\n"


def test_a_long_path_stays_on_one_line(capsys):
    console.show(f"Next: bayespress verify {'x' * 300}")
    assert capsys.readouterr().out.count("\n") == 1


def _layout():
    names = [name for name in HOSTILE if "\u202e" not in name and "\u200b" not in name]
    return codec.layout(codec.encode([codec.RawTensor(name, np.ones(3, np.float32)) for name in names]))


def _record(name: str) -> PackedRecord:
    return PackedRecord(
        name=name, input_shape=(1,), output_shape=(1,), labels=HOSTILE, data=name, original_parameters=10,
        original_bytes=40, packed_bytes=20, settings={name: name},
        steps=tuple(StepRecord(name=each, metric=1.0, nonzero=3, parameters=3) for each in ("a", name)),
        layers=tuple(
            LayerRecord(name=each, shape=(3,), original_shape=(3,), nonzero=3, coding=each, bits={"values": 96.0})
            for each in HOSTILE
        ),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "$\\frac{", "\u202ea\x1b]0;title\x07\n_"])
def test_a_report_is_well_formed_whatever_the_names(name):
    from bayespress.compress.report import packed_page, packed_picture

    page = packed_page(_record(name), _layout()).html(interactive=False)
    drawn = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawn) == 3
    for svg in (*drawn, packed_picture(_record(name), _layout())):
        ET.fromstring(svg)
    assert "<script" not in page
    assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e]", page)
    assert page.count("<h1>") == 1


def test_bars_with_the_same_printed_name_stay_two_bars():
    from bayespress.deploy.measure.picture import bench_picture
    from bayespress.deploy.measure.report import BenchReport, LayerTime
    from bayespress.html_report.charts import Bar, bar_chart, specification

    bars = [Bar("$a$\u202e", 1.0), Bar("$a$\\u202e", 7.0)]
    rows = specification(bar_chart(bars, "µs"))["data"]["values"]
    assert [(row["name"], row["place"], row["value"]) for row in rows] == [
        ("$a$\\u202e", 0, 1.0),
        ("$a$\\u202e", 1, 7.0),
    ]
    device = {"device": "d", "description": "d", "emulated": False, "cpu": None, "governor": None,
              "temperature_c": None, "peak_kb": None, "workspace_bytes": 0, "median_us": 8.0,
              "layers": [LayerTime(kernel="$a$", mean_us=1.0)]}  # fmt: skip
    picture = bench_picture(BenchReport(name="<n>", cpu="c", devices=[device]))
    ET.fromstring(picture)
    assert ">$a$</text>" in picture, "named, and not as mathematics"


def test_json_escapes_and_keeps_names(capsys):
    console.print_json({"names": [*HOSTILE, "\x1b[31m"]})
    shown = capsys.readouterr().out
    assert shown.isascii()
    assert "\x1b" not in shown
    assert json.loads(shown)["names"] == [*HOSTILE, "\x1b[31m"]


def test_inspecting_hostile_names(capsys):
    console.show(tensors_table(_layout()))
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("[red]w", "a[/b]", ":smile:"))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_terminals_without_unicode_show_replacements(encoding, tmp_path):
    weights = codec.encode([codec.RawTensor("日本·µ", np.ones(3, np.float32))])
    (tmp_path / "w.bpz").write_bytes(weights)
    result = subprocess.run(
        [sys.executable, "-m", "bayespress", "verify", "w.bpz"], cwd=tmp_path, capture_output=True, check=False,
        env={**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    result = subprocess.run(
        [sys.executable, "-m", "bayespress", "inspect", "w.bpz"], cwd=tmp_path, capture_output=True, check=False,
        env={**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert b"\\u65e5\\u672c" in result.stdout


def test_shell_words_name_the_same_path(tmp_path):
    for name in ("a b", "a'b", "-x", "a\nb", "\x1b[31m", "a\\b\n", "日本", "$(touch x)", "\udcff", "*"):
        word = text.shell_word(name)
        assert text.printable(word) == word
        got = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True).stdout
        assert os.fsdecode(got).removeprefix("./") == name.removeprefix("./")
