"""Golden files: files of version 2 that must decode to the same tensors in every later release.

golden/<name>.hex is the file; golden/<name>.json its tensors. A failure here means that the format changed:
that takes a new version, not new golden files.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from bayespress import codec
from bayespress.codec import reference

GOLDEN = Path(__file__).resolve().parent / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.hex"))


def read(name: str) -> bytes:
    return bytes.fromhex((GOLDEN / f"{name}.hex").read_text())


def described(tensor: codec.Tensor) -> dict[str, object]:
    """A tensor in the form of the golden JSON files; floats are hexadecimal, and so exact."""
    shape = list(tensor.values().shape)
    if isinstance(tensor, codec.RawTensor):
        return {"name": tensor.name, "shape": shape, "raw": [float(v).hex() for v in tensor.array.ravel()]}
    flat = tensor.levels.ravel()
    levels = [[int(at), int(flat[at])] for at in np.flatnonzero(flat)]  # those that are not 0
    if isinstance(tensor.value_map, codec.Grid):
        return {"name": tensor.name, "shape": shape, "levels": levels, "step": tensor.value_map.step.hex()}
    if isinstance(tensor.value_map, codec.Minifloat):
        return {"name": tensor.name, "shape": shape, "levels": levels, "minifloat": asdict(tensor.value_map)}
    book = [float(value).hex() for value in tensor.value_map.entries]
    return {"name": tensor.name, "shape": shape, "levels": levels, "codebook": book}


def test_there_are_golden_files_for_each_layout():
    assert len(NAMES) >= 5
    layouts = {tensor.entries for name in NAMES for tensor in codec.layout(read(name)).tensors}
    assert {"dense", "by row", "running", "adaptive", "adaptive gaps", None} <= layouts


@pytest.mark.parametrize("decode", [codec.decode, reference.decode])
@pytest.mark.parametrize("name", NAMES)
def test_golden(name, decode):
    expected = json.loads((GOLDEN / f"{name}.json").read_text())
    assert [described(tensor) for tensor in decode(read(name))] == expected


@pytest.mark.parametrize("name", NAMES)
def test_layout_accounts_for_every_byte(name):
    data = read(name)
    layout = codec.layout(data)
    assert sum(layout.by_stream().values()) == layout.size == len(data)
    assert json.loads(json.dumps(layout.as_dict()))["size"] == len(data)
