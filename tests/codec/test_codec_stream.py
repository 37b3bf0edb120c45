"""Writing and reading in pieces, and files that declare more than memory holds."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from codec_files import sections_of

from bayespress import codec
from bayespress.codec._bpz import lib
from bayespress.errors import CorruptFileError, InputError


def tensors(count=6):
    rng = np.random.default_rng(3)
    for index in range(count):
        levels = np.where(rng.random((80, 500)) < 0.5, rng.integers(-30, 31, (80, 500)), 0).astype(np.int32)
        yield codec.QuantizedTensor(f"layer.{index}.weight", levels, codec.Grid(0.1))


@pytest.mark.parametrize("seekable", [None, True, False])
@pytest.mark.parametrize("threads", [1, 3])
def test_write_and_encode_give_the_same_bytes(tmp_path, seekable, threads):
    path, seen = tmp_path / "net.bpz", []
    size = codec.write(path, tensors(), lambda *now: seen.append(now), seekable=seekable, threads=threads, count=6)
    assert path.read_bytes() == codec.encode(list(tensors()), seekable=seekable)
    assert size == path.stat().st_size
    assert seen == [(done, 6) for done in range(1, 7)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.bpz"]


def test_large_files_are_seekable_by_default():
    assert codec.encode(list(tensors(1)))[4] & 1 == 0
    assert codec.encode(list(tensors()))[4] & 1 == 1


def test_a_failed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "net.bpz"
    path.write_bytes(b"BPZ, old")

    def bad():
        yield next(tensors())
        yield codec.RawTensor("bad", np.float32([np.nan]))

    with pytest.raises(InputError, match="bad holds 1 values"):
        codec.write(path, bad(), overwrite=True)
    with pytest.raises(InputError, match="Two tensors are called"):
        codec.write(path, [next(tensors()), next(tensors())], overwrite=True)
    with pytest.raises(InputError, match="0 threads"):
        codec.write(path, tensors(), threads=0, overwrite=True)
    assert path.read_bytes() == b"BPZ, old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.bpz"]


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "net.bpz"
    path.write_bytes(b"BPZ, old")
    program = (
        "import os, signal, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from bayespress import codec\n"
        "def tensors():\n"
        "    for index in range(9):\n"
        "        if index == 8: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        yield codec.RawTensor(str(index), np.random.rand(9999).astype(np.float32))\n"
        "codec.write(Path(sys.argv[1]), tensors(), overwrite=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"BPZ, old"


class Trickle(io.RawIOBase):
    """A stream that gives a few bytes at a time, like a slow connection."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def read(self, size=-1):
        take = min(7, size) if size >= 0 else len(self.data)
        piece = self.data[self.at : self.at + take]
        self.at += len(piece)
        return piece


@pytest.mark.parametrize("seekable", [True, False])
def test_a_stream_gives_each_tensor(seekable):
    data = codec.encode(list(tensors()), seekable=seekable)
    for read, written in zip(codec.stream(Trickle(data)), tensors(), strict=True):
        assert read.name == written.name
        np.testing.assert_array_equal(read.levels, written.levels)


def feed(writer: int, data: bytes) -> None:
    with os.fdopen(writer, "wb") as sink:
        sink.write(data)


@pytest.mark.timeout(60)
def test_a_stream_gives_a_tensor_before_the_next_has_come():
    data = codec.encode(list(tensors()))
    second = sections_of(data)[1][0]
    assert second < 60_000, "more would not fit into the pipe"
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as source:
        os.write(writer, data[:second])
        rest = threading.Thread(target=feed, args=(writer, data[second:]))
        came = codec.stream(source)
        assert next(came).name == "layer.0.weight"
        rest.start()
        assert [tensor.name for tensor in came] == [f"layer.{index}.weight" for index in range(1, 6)]
        rest.join()


@pytest.mark.parametrize("seekable", [True, False])
def test_rejects_damaged_streams(seekable):
    data = codec.encode(list(tensors(2)), seekable=seekable)
    for bad in (b"", data[:3], data[:9], data[:30], data[:-1], data + b"x", data[:-9] + b"x" + data[-8:]):
        with pytest.raises(CorruptFileError, match="cannot be read"):
            list(codec.stream(io.BytesIO(bad)))
    with pytest.raises(InputError, match="more than the limit of 9"):
        list(codec.stream(io.BytesIO(data), max_elements=9))


def test_rejects_a_stream_of_text():
    with pytest.raises(InputError, match="gives str, and bytes are needed; open it in binary mode"):
        list(codec.stream(io.StringIO("BPZ")))


def test_declared_elements_of_a_stream_are_limited_by_the_bytes_read(build):
    """The default limit follows from the bytes that were read, not from the size that the directory declares."""
    huge = build.record(shape=(2**40,), nonzero=0)
    entry, section = build.record(name=b"v", size=2**40)
    data = build.seekable(huge, (entry, section))
    with pytest.raises(InputError, match=r"of \d\d bytes declares 1099511627776 elements"):
        list(codec.stream(io.BytesIO(data)))


def test_one_bad_section_leaves_the_others_readable(tmp_path):
    data = bytearray(codec.encode(list(tensors())))
    start, size = sections_of(bytes(data))[2]
    data[start + size // 2] ^= 4
    (tmp_path / "net.bpz").write_bytes(data)
    archive = codec.open(tmp_path / "net.bpz")
    assert archive.section("layer.2.weight") == (start, size)
    for index, tensor in enumerate(tensors()):
        if index != 2:
            np.testing.assert_array_equal(archive[tensor.name].levels, tensor.levels)
    for read in (archive.__getitem__, archive.array, archive.csr, lambda _: archive.verify()):
        with pytest.raises(CorruptFileError, match=r"Tensor layer\.2\.weight cannot be read: a checksum"):
            read("layer.2.weight")


def test_a_sound_file_verifies(tmp_path):
    codec.write(tmp_path / "net.bpz", tensors())
    archive = codec.open(tmp_path / "net.bpz")
    archive.verify()
    assert all(np.array_equal(archive[tensor.name].levels, tensor.levels) for tensor in tensors())


def test_more_elements_than_32_bits_count(build, tmp_path):
    """2^32 elements, two of which are not 0: gaps above 2^31, decoded to sparse rows only."""
    rows, columns, filler = 2**20, 2**12, 2**31 - 1
    fixed_31, fixed_0 = ((0, 1), (31, 6), 0), ((0, 1), (0, 6), 0)
    gap = rows * columns - 1 - 5 - 1
    payload = build.bits(
        (2, 2), (0, 2), (0, 2), (31, 5), *fixed_31, *fixed_0, (5, 31), (filler, 31), (gap - filler, 31)
    )  # fmt: skip
    (tmp_path / "net.bpz").write_bytes(build.file(build.record(shape=(rows, columns), nonzero=2, payload=payload)))
    with pytest.raises(InputError, match="4294967296 elements"):
        codec.open(tmp_path / "net.bpz")
    archive = codec.open(tmp_path / "net.bpz", max_elements=rows * columns)
    row_pointer, where, values = archive.csr("w")
    assert where.tolist() == [5, columns - 1]
    assert values.tolist() == [np.float32(0.1)] * 2
    assert row_pointer[1] == row_pointer[-2] == 1
    assert row_pointer[-1] == 2


def test_rejects_sparse_rows_of_2_to_the_33_columns(build, tmp_path):
    (tmp_path / "net.bpz").write_bytes(build.file(build.record(shape=(2**33,), nonzero=0)))
    with pytest.raises(InputError, match="has no sparse rows"):
        codec.open(tmp_path / "net.bpz", max_elements=2**40).csr("w")


def test_decoding_takes_little_room_beside_input_and_output():
    assert lib.bpz_workspace_size() <= 64 * 1024


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_narrow_levels(dtype):
    levels = np.arange(-100, 100, dtype=dtype).reshape(10, 20)
    for profile in codec.PROFILES:
        (tensor,) = codec.decode(codec.encode([codec.QuantizedTensor("w", levels, codec.Grid(0.5))], profile=profile))
        np.testing.assert_array_equal(tensor.levels, levels)


def test_the_lowest_level_of_all(tmp_path):
    """-2^31 has no value number in the dense layout."""
    levels = np.full((4, 4), -(2**31), dtype=np.int32)
    levels[0, 0] = 0
    for profile in codec.PROFILES:
        (tensor,) = codec.decode(codec.encode([codec.QuantizedTensor("w", levels, codec.Grid(0.5))], profile=profile))
        np.testing.assert_array_equal(tensor.levels, levels)


class Asked(io.RawIOBase):
    """A source that records the largest read; with `endless`, zeros follow the data without end."""

    def __init__(self, data: bytes, *, endless: bool = False) -> None:
        self.data, self.at, self.endless = data, 0, endless
        self.most = self.given = 0

    def read(self, size=-1):
        assert size >= 0, "all that there is was asked for"
        self.most = max(self.most, size)
        piece = self.data[self.at : self.at + size]
        self.at += len(piece)
        if self.endless:
            piece = piece.ljust(size, b"\0")
        self.given += len(piece)
        assert self.given < 1 << 25, "the stream is read without end"
        return piece


# Heads of seekable and other files that promise more than comes.
PROMISES = {
    "a directory of 2^40 bytes": "42505a020380808080802078" + "78" * 19,
    "a directory of 2^48 - 1 bytes of 4096 tensors": "42505a02" + "8140" + "ffffffffffff3f" + "78" * 19,
    "the largest directory": "42505a02" + "8140" + "80dd52" + "78" * 40,
    "no more than a head": "42505a0202",
}


@pytest.mark.parametrize("promise", PROMISES)
def test_a_declared_size_is_read_in_pieces(tmp_path, promise):
    data = bytes.fromhex(PROMISES[promise])
    source = Asked(data)
    with pytest.raises(CorruptFileError, match="cannot be read"):
        list(codec.stream(source))
    assert source.most <= 1 << 20
    (tmp_path / "net.bpz").write_bytes(data)
    with (tmp_path / "net.bpz").open("rb", buffering=0) as file, pytest.raises(CorruptFileError):
        list(codec.stream(file))


def test_a_section_of_terabytes_is_read_in_pieces(build):
    entry, section = build.record(size=2**40)
    source = Asked(build.seekable((entry, section)))
    with pytest.raises(CorruptFileError, match="end before the file does"):
        list(codec.stream(source))
    assert source.most <= 1 << 20


@pytest.mark.parametrize("seekable", [True, False])
def test_an_endless_stream_is_read_no_further_than_its_file(seekable):
    data = codec.encode(list(tensors(2)), seekable=seekable)
    source = Asked(data, endless=True)
    with pytest.raises(CorruptFileError, match="cannot be read"):
        list(codec.stream(source))
    assert source.given <= len(data) + 1
    assert [tensor.name for tensor in codec.stream(Asked(data))] == ["layer.0.weight", "layer.1.weight"]


@pytest.mark.parametrize("head", ["", "42505a02", "42505a0201", "42505a0202410177", "42505a028040", "42505a0281408002"])
def test_rejects_an_endless_stream_of_zeros(head):
    with pytest.raises(CorruptFileError, match="cannot be read"):
        list(codec.stream(Asked(bytes.fromhex(head), endless=True)))


def test_rejects_arrays_larger_than_memory_with_a_sentence(tmp_path, build):
    (tmp_path / "net.bpz").write_bytes(build.file(build.record(shape=(2**47,), nonzero=0)))
    archive = codec.open(tmp_path / "net.bpz", max_elements=2**47)
    with pytest.raises(InputError, match="takes 562949953421312 bytes of memory"):
        archive.array("w", np.int32)
