"""Draw docs/mnist.svg from benchmarks/results/lenet-5-mnist.json, whose figures RESULTS.md explains.

python benchmarks/pictures.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bayespress.html_report.charts import Bar, bar_chart, picture
from bayespress.html_report.figures import metric_charts, nonzero_chart
from bayespress.metric import ERROR
from bayespress.packed_format import StepRecord

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "benchmarks" / "results" / "lenet-5-mnist.json"
PICTURE = ROOT / "docs" / "mnist.svg"


def draw(figures: dict[str, Any]) -> str:
    """The SVG document: non-zero parameters and error by step, bytes by tensor, latency beside other runtimes."""
    steps = [StepRecord(**step) for step in figures["steps"]]
    total: dict[str, float] = {}
    for streams in figures["bytes_by_tensor"].values():
        for stream, size in streams.items():
            total[stream] = total.get(stream, 0.0) + size
    parts = [
        Bar(tensor, streams[stream], stream)
        for tensor, streams in figures["bytes_by_tensor"].items()
        for stream in sorted(total, key=lambda stream: -total[stream]) if streams[stream]
    ]  # fmt: skip
    latency = figures["latency"]
    runtimes = [Bar("bayespress", latency["compiled"])]
    runtimes += [Bar(name, median, strong=False) for name, median in latency["others"].items()]
    charts = [
        *((chart.title, chart.chart) for chart in (nonzero_chart(steps), *metric_charts(steps, ERROR, "test"))),
        (f"Bytes of the file, {figures['packed_bytes']:,} in all",
         bar_chart(parts, "bytes", name="tensor", group="stream")),
        (f"Latency on {latency['machine']}", bar_chart(runtimes, "median of one image, µs", name="runtime")),
    ]  # fmt: skip
    original, packed = figures["original_bytes"], figures["packed_bytes"]
    sizes = f"{original:,} bytes to {packed:,}, {original / packed:,.0f} times smaller"
    return picture(charts, f"{figures['name']} on {figures['data']}: {sizes}")


if __name__ == "__main__":
    PICTURE.write_text(draw(json.loads(FIGURES.read_text())))
