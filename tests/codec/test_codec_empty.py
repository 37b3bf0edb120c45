"""Tensors without elements: all readers agree on them, and can read what the encoder writes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from codec_files import CODEBOOK, GRID, MINIFLOAT, RAW

from bayespress import codec
from bayespress.codec import reference
from bayespress.codec.native import open_file
from bayespress.errors import BayespressError, CorruptFileError, InputError

LARGEST = 2**48 - 1
READERS = {
    "decode": codec.decode,
    "stream": lambda data: list(codec.stream(io.BytesIO(data))),
    "open": lambda data: list(codec.Archive(open_file(data, None)).values()),
    "reference": reference.decode,
}


def answers(data: bytes) -> set[object]:
    """The set of results of all readers, shapes or the type of an error; it has one element when they agree."""
    found: set[object] = set()
    for read in READERS.values():
        try:
            found.add(tuple(tensor.shape for tensor in read(data)))
        except BayespressError as error:
            found.add(CorruptFileError if isinstance(error, CorruptFileError) else type(error))
    try:
        found.add(tuple(tensor.shape for tensor in codec.layout(data).tensors))
    except CorruptFileError:
        found.add(CorruptFileError)
    return found


@pytest.mark.parametrize("kind", [GRID, CODEBOOK, MINIFLOAT, RAW])
@pytest.mark.parametrize(
    "shape",
    [(0,), (3, 0), (0, 5), (0, 0), (2, 0, 3), (LARGEST, 0), (0, LARGEST), (2**24, 2**23, 0), (0, 2**24, 1, 2**23)],
)
def test_all_readers_accept_empty_tensors(build, kind, shape):
    assert answers(build.file(build.record(kind=kind, shape=shape, nonzero=0))) == {(shape,)}
    assert answers(build.seekable(build.record(kind=kind, shape=shape, nonzero=0))) == {(shape,)}


@pytest.mark.parametrize("kind", [GRID, RAW])
@pytest.mark.parametrize(
    "shape",
    [
        (2**47, 2**47, 0),
        (0, 2**47, 2),
        (2**24, 0, 2**24),
        (2**16, 2**16, 2**16, 0),
        (LARGEST, 2, 0),
        (2, LARGEST, 0, 0),
    ],
)
def test_rejects_invalid_shapes_of_empty_tensors(build, kind, shape):
    assert answers(build.file(build.record(kind=kind, shape=shape, nonzero=0))) == {CorruptFileError}


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 5), (LARGEST, 0), (0, 2**24, 2**23)])
def test_written_empty_tensors_can_be_read(shape):
    written = [
        codec.QuantizedTensor("grid", np.zeros(shape, dtype=np.int8), codec.Grid(0.5)),
        codec.QuantizedTensor("book", np.zeros(shape, dtype=np.int32), codec.Codebook(np.zeros(1, dtype=np.float32))),
        codec.RawTensor("raw", np.zeros(shape, dtype=np.int8)),
    ]
    data = codec.encode(written)
    assert answers(data) == {(shape,) * 3}
    assert codec.encode(codec.decode(data)) == data


@pytest.mark.parametrize("shape", [(2**48, 0), (0, 2**60), (2**47, 2**15, 0), (2**62, 0)])
def test_rejects_empty_tensors_that_no_reader_would_accept(shape):
    for tensor in (
        codec.QuantizedTensor("w", np.zeros(shape, dtype=np.int8), codec.Grid(0.5)),
        codec.RawTensor("w", np.zeros(shape, dtype=np.int8)),
    ):
        with pytest.raises(InputError, match=r"Tensor w has shape .* product of its other extents may be 2\^48 - 1"):
            codec.encode([tensor])


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((3, 0), 3), ((0,), 1), ((0, 5), 0), ((0, 0), 0), ((4, 2, 0), 4), ((0, LARGEST), 0), ((1, 0), 1)],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.int32])
def test_sparse_rows_have_one_pointer_more_than_rows(tmp_path, build, shape, rows, dtype):
    (tmp_path / "net.bpz").write_bytes(build.file(build.record(shape=shape, nonzero=0)))
    row_pointer, columns, values = codec.open(tmp_path / "net.bpz").csr("w", dtype)
    assert row_pointer.tolist() == [0] * (rows + 1)
    assert columns.shape == values.shape == (0,)
    assert values.dtype == dtype


def test_row_pointers_are_limited_as_elements_are(tmp_path, build):
    """A file of 30 bytes must not ask for a petabyte of row pointers."""
    (tmp_path / "net.bpz").write_bytes(build.file(build.record(shape=(2**47, 0), nonzero=0)))
    archive = codec.open(tmp_path / "net.bpz")
    assert archive.array("w").shape == (2**47, 0)
    with pytest.raises(InputError, match="has no elements but 140737488355328 rows, more than the limit of 16"):
        archive.csr("w")
