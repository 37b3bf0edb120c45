"""Latency of a built network against ONNX Runtime and PyTorch, interleaved in this process.

    python benchmarks/latency.py packed/lenet [more packed directories] [--seconds 3]

A packed directory comes from `bayespress compress`. Prints medians, spread and ratios; the compiled network is 1.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bayespress.cli.bench import latency_table
from bayespress.cli.console import show, step
from bayespress.deploy.bench import bench
from bayespress.deploy.build import build


def main() -> None:
    """Build each packed directory for the host and measure it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packed", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each contender")
    arguments = parser.parse_args()
    for packed in arguments.packed:
        with tempfile.TemporaryDirectory() as scratch:
            bundle = Path(scratch) / "network.bundle"
            manifest = build(packed, ["host"], bundle, progress=step)
            report = bench(bundle, packed, seconds=arguments.seconds, progress=step)
        show(f"{manifest.name}, {manifest.packed_bytes:,} bytes", latency_table(report))
        show(f"load and decode {report.decode_us:.0f} µs; process start to all golden outputs {report.start_ms:.1f} ms")


if __name__ == "__main__":
    main()
