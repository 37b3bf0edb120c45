"""NNCodec on the levels of an .npz file, for benchmarks/codec.py, which runs this under another interpreter.

NNCodec needs an environment of its own (another torch, NumPy below 2):

    python -m venv nncodec && nncodec/bin/pip install 'nncodec==2.1.3'

Prints one line of JSON: bytes of the smaller bitstream with and without row skipping, and the best of several decodings
in seconds. Levels are coded as integers, as they are: no steps, no dependent quantisation.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.util import find_spec
from unittest.mock import MagicMock

import numpy as np

# It imports these for its training commands only, and torchvision seldom fits the torch beside it.
for _name in ("torchvision", "torchvision.transforms", "torchvision.models", "torchvision.datasets", "wandb"):
    sys.modules.setdefault(_name, MagicMock())

if find_spec("nncodec") is None:
    sys.exit("nncodec is not installed in this environment")

from nncodec import nnc  # noqa: E402 - behind what it must not find


def main() -> None:
    """Encode, decode, compare."""
    with np.load(sys.argv[1]) as archive:
        levels = {name: archive[name].astype(np.int32) for name in archive.files}
    best = None
    for row_skipping in (True, False):
        stream = nnc.compress(
            {name: array.copy() for name, array in levels.items()},
            bitstream_path=sys.argv[2], use_dq=False, row_skipping=row_skipping, return_bitstream=True, verbose=False,
        )  # fmt: skip
        if best is None or len(stream) < len(best):
            best = stream
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        decoded = nnc.decompress(best)
        seconds.append(time.perf_counter() - start)
    for name, array in levels.items():
        if not np.array_equal(decoded[name], array):
            sys.exit(f"NNCodec decoded other levels of {name}")
    print(json.dumps({"bytes": len(best), "seconds": min(seconds)}))


if __name__ == "__main__":
    main()
