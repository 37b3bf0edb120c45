"""How long commands on files take to start, against Python's own start with numpy.

    python benchmarks/startup.py [--json FILE]

Prints medians of interleaved whole processes and their ratio to `python -c "import numpy"`.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from raw_results import RawResults, add_json_option

from bayespress import codec

_ROUNDS = 15


def main() -> None:
    """Time each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_json_option(parser)
    options, results = parser.parse_args(), RawResults()
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / "w.bpz"
        weights.write_bytes(codec.encode([codec.RawTensor("w", np.ones(100, np.float32))]))
        run = [str(Path(sys.executable).with_name("bayespress"))]
        commands = {
            "python -c 'import numpy'": [sys.executable, "-c", "import numpy"],
            "bayespress --help": [*run, "--help"],
            "bayespress inspect w.bpz": [*run, "inspect", str(weights)],
            "bayespress verify w.bpz": [*run, "verify", str(weights)],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(_ROUNDS):
            for name, command in commands.items():
                before = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                times[name].append(time.perf_counter() - before)
    base = statistics.median(next(iter(times.values())))
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:28} {1000 * median:6.0f} ms  {median / base:5.2f}x")
        results.add(name, seconds=taken, median_seconds=median, ratio=median / base)
    results.write(options.json)


if __name__ == "__main__":
    main()
