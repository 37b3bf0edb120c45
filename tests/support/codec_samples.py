"""Valid `.bpz` files of the encoder, for tests that read or damage them."""

from __future__ import annotations

import numpy as np

from bayespress import codec


def sample_files() -> list[bytes]:
    """Files that together use each layout, mask, kind and code."""
    rng = np.random.default_rng(7)
    sparse = np.where(rng.random((24, 30)) < 0.1, rng.integers(-5, 6, (24, 30)), 0).astype(np.int32)
    struck = sparse.copy()
    struck[::3], struck[:, 10:20] = 0, 0
    permutation = np.eye(40, dtype=np.int32)[rng.permutation(40)]
    dense = rng.integers(-3, 4, (6, 11)).astype(np.int32)
    wide = np.where(rng.random((5, 4, 2, 2)) < 0.5, rng.integers(-(2**31), 2**31 - 1, (5, 4, 2, 2)), 0)
    book = codec.Codebook(np.array([0, -1.5, 0.25, 3], dtype=np.float32))
    long_book = codec.Codebook(np.array([0, -1.1, 0.2, 3], dtype=np.float32))
    small = codec.Minifloat(3, 2, -6)
    far = np.zeros((3, 4000), dtype=np.int32)
    far[:, ::97] = rng.integers(1, 9, far[:, ::97].shape)
    groups = [
        [
            codec.QuantizedTensor("fc.weight", sparse, codec.Grid(0.1)),
            codec.RawTensor("fc.bias", np.float32([1.1, -2])),
        ],
        [
            codec.QuantizedTensor("struck", struck, codec.Grid(0.5)),
            codec.QuantizedTensor("perm", permutation, book),
        ],
        [
            codec.QuantizedTensor("dense", dense, codec.Grid(0.3)),
            codec.QuantizedTensor("ä", np.abs(dense), long_book),
        ],
        [
            codec.QuantizedTensor("wide", wide.astype(np.int32), codec.Grid(1e-9)),
            codec.QuantizedTensor("scalar", np.array(-7, dtype=np.int32), codec.Grid(2.0)),
            codec.QuantizedTensor("empty", np.zeros((3, 0), dtype=np.int32), codec.Grid(1.0)),
            codec.QuantizedTensor("zero", np.zeros((300, 100), dtype=np.int32), book),
        ],
        [
            codec.QuantizedTensor("mini", small.nearest(rng.normal(0, 1, (20, 9))), small),
            codec.QuantizedTensor("far", far, small),
            codec.RawTensor("half", np.float32([0.1, 2, -0.0]).astype(np.float16)),
            codec.RawTensor("brain", np.float32([1e30, -2])),
            codec.RawTensor("whole", np.int8([[1, -128], [0, 127]])),
        ],
        [],
    ]
    profiles = [codec.encode(group, profile=profile) for profile in ("fast", "small") for group in groups]
    return profiles + [codec.encode(group, seekable=True) for group in groups]
