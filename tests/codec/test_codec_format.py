"""Every example of FORMAT.md, and its pseudocode, against the encoder, the C decoder and the reference decoder."""

from __future__ import annotations

import re
import zlib

import format_document
import numpy as np
import pytest
from codec_files import CODEBOOK_SHORT, GRID_SHORT, MINIFLOAT, FileBuilder, sections_of
from codec_forced import forced_stream
from codec_samples import sample_files
from codec_sources import C_SOURCES, GOLDEN
from format_document import Rejection, Source, bits_as_bytes, dumps, table, tables

from bayespress import codec
from bayespress.codec import reference, reference_adaptive
from bayespress.codec._bpz import lib
from bayespress.codec.bits import BitFields, varint
from bayespress.codec.codes import StreamCode
from bayespress.codec.csr import mask_fields, value_numbers
from bayespress.codec.huffman_code import length_tokens
from bayespress.codec.names import name_bytes
from bayespress.errors import CorruptFileError

PROGRAM = format_document.program()
BUILD = FileBuilder()
DECODERS = (codec.decode, reference.decode)
MATRIX = np.array([[0, 0, 0, 1, 0], [0, 0, -2, 0, 3]], dtype=np.int32)  # of section 8


def spelled(fields: BitFields) -> str:
    return "".join(f"{n:b}".zfill(w)[-w:] for n, w in zip(fields.numbers, fields.widths, strict=True) if w)


def bit_reader(bits: str):
    reader = PROGRAM["BitReader"](b"")
    reader.bits = bits
    return reader


# ---- structure ----


def test_contents_list_the_sections_in_order():
    listed = re.findall(r"^\d+\. \[(.+)\]\((#.+)\)$", format_document.TEXT, re.MULTILINE)
    assert [f"{number}. {title}" for number, (title, _) in enumerate(listed, 1)] == format_document.headings()
    for heading, (_, anchor) in zip(format_document.headings(), listed, strict=True):
        assert anchor == "#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_references_to_sections_lead_somewhere():
    for number in re.findall(r"[Ss]ections? (\d+(?:\.\d+)?)", format_document.TEXT):
        assert format_document.section(number)


def test_comments_refer_to_sections_that_exist():
    root = C_SOURCES.parents[1]
    for path in [*root.glob("codec/**/*.[pch]*"), *root.glob("tests/**/*.[pch]*")]:
        if path.suffix in (".py", ".c", ".h"):
            for numbers in re.findall(r"FORMAT\.md, section[s]? ([\d., to and]+)", path.read_text()):
                for number in re.findall(r"\d+(?:\.\d+)?", numbers):
                    assert format_document.section(number), f"{path}: {number}"


def without_comments(source: str) -> str:
    return re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)


def test_the_code_has_the_names_of_the_document():
    """Fields in the C decoder or the reference decoder; states of the adaptive model in both."""
    c = "".join(without_comments(path.read_text()) for path in sorted(C_SOURCES.glob("*.[ch]")))
    paths = sorted((C_SOURCES.parent).glob("reference*.py"))
    reference_sources = "".join(path.read_text() for path in paths)
    fields = {
        name
        for heading in re.findall(r"^### (\d+\.\d+) ", format_document.TEXT, re.MULTILINE)
        for rows in tables(heading)
        if next(iter(rows[0])) == "field"
        for row in rows
        for name in re.findall(r"\w+_\w+", row["field"])
    }
    checksums = {"directory_checksum", "section_checksum", "file_checksum"}  # never kept: only compared
    assert len(fields) > 20
    for name in sorted(fields - checksums):
        assert re.search(rf"\b{name}\b", c + reference_sources), name
    model = format_document.section("9.5").split("class Model:")[1]
    states = set(re.findall(r"self\.(\w+) =", model))
    assert {"column_slots", "exponent_slots", "gap_context"} <= states
    for name in sorted(states | {"range", "offset"}):
        assert re.search(rf"\b(model|coder)->{name}\b", c), name
        assert re.search(rf"\bself\.{name}\b", reference_sources), name


# ---- section 2 ----


def test_numbers_of_bytes():
    kinds = {"f32": "<f4", "f16": "<f2", "i8": "i1"}
    for row in table("2.2", "number", "type", "bytes"):
        stored = bytes.fromhex(row["bytes"])
        if row["type"] == "bf16":
            stored, row["type"] = b"\0\0" + stored, "f32"
        assert np.frombuffer(stored, kinds[row["type"]])[0] == np.dtype(kinds[row["type"]]).type(row["number"])


@pytest.mark.parametrize("row", table("2.3", "bytes", "number"), ids=lambda row: row["bytes"])
def test_varints(row):
    data = bytes.fromhex(row["bytes"])
    # A tensor without elements, whose second extent is the number.
    file = BUILD.file((b"\x52\x01w\0" + data + b"\0\2", b"\0\x3f"))
    if row["number"] == "reject":
        with pytest.raises(Rejection):
            PROGRAM["read_varint"](Source(data))
        for decode in DECODERS:
            with pytest.raises(CorruptFileError):
                decode(file)
        return
    number = int(row["number"])
    assert PROGRAM["read_varint"](Source(data)) == number
    assert varint(number) == data
    for decode in DECODERS:
        assert decode(file)[0].values().shape == (0, number)


def test_fields_of_bits():
    data, widths, numbers = re.search(
        r"in the bytes `([\dA-F ]+)` the fields (.+?) are ([\d, and]+)\.", format_document.section("2.4")
    ).groups()
    reader = PROGRAM["BitReader"](bytes.fromhex(data))
    found = [reader.read(int(width)) for width in re.findall(r"`u(\d+)`", widths)]
    assert found == [int(number) for number in re.findall(r"\d+", numbers)]


@pytest.mark.parametrize("row", table("2.5", "order", "number", "bits"), ids=lambda row: row["bits"])
def test_exponential_golomb_numbers(row):
    order, number = int(row["order"]), int(row["number"])
    fields = BitFields()
    fields.put_golomb(number, order)
    assert spelled(fields) == row["bits"]
    reader = bit_reader(row["bits"])
    assert PROGRAM["read_golomb"](reader, order) == number
    assert reader.at == len(row["bits"])


def test_checksum():
    text = format_document.section("2.6").replace("\n", " ")
    data, number, stored = re.search(r"bytes `([\dA-F ]+)` is (\w+), stored as `([\dA-F ]+)`", text).groups()
    assert zlib.crc32(bytes.fromhex(data)) == int(number, 16)
    assert bytes.fromhex(stored) == int(number, 16).to_bytes(4, "little")


# ---- sections 3 and 4 ----


def test_the_largest_entry_and_directory():
    entry = 1 + 5 + 255 + 7 * (lib.BPZ_MAX_RANK + 2)
    assert f"at most {entry} bytes" in format_document.section("3.2").replace("\n", " ")
    head, size = b"BPZ\2" + varint(2 * 4096 + 1), entry * 4096
    assert size < 1.4e6
    for announced, status in ((size, lib.BPZ_ERROR_TRUNCATED), (size + 1, lib.BPZ_ERROR_CORRUPT)):
        with pytest.raises(CorruptFileError) as caught:
            codec.decode(head + varint(announced) + bytes(20))
        assert caught.value.status == status


def test_the_entry_of_the_example():
    data = bytes.fromhex(re.search(r"Example: `([\dA-F ]+)` is a tensor", format_document.section("4.1"))[1])
    levels = np.array([[0, 0, 3], [0, -1, 0]], dtype=np.int32)
    file = codec.encode([codec.QuantizedTensor("w", levels, codec.Grid(0.5))])
    assert file[5 : 5 + len(data)] == data


def test_kinds():
    numbers = dict(re.findall(r"#define BPZ_STORED_(\w+) +(\d+)u", (C_SOURCES / "directory.h").read_text()))
    kinds = table("4.1", "kind", "name", "value map", "bytes of a plain value")
    assert {row["name"]: row["kind"] for row in kinds} == {k: n for k, n in numbers.items() if k != "KINDS"}


@pytest.mark.parametrize("row", table("4.2", "name before", "name", "bytes"), ids=lambda row: row["name"])
def test_names(row):
    stored = bytes.fromhex(row["bytes"])
    assert name_bytes(row["name"].encode(), row["name before"].encode()) == stored
    tensors = [codec.RawTensor(name, np.float32([])) for name in (row["name before"], row["name"]) if name]
    file = codec.encode(tensors)
    assert stored in file
    for decode in DECODERS:
        assert decode(file)[-1].name == row["name"]


def test_abbreviations():
    for row in table("4.2", "byte", "stands for"):
        assert name_bytes(row["stands for"].encode(), b"") == b"\1" + bytes.fromhex(row["byte"])


# ---- section 5 ----


def test_values_of_levels():
    maps = {
        "grid": (GRID_SHORT, b"\0\x3f"),
        "codebook": (CODEBOOK_SHORT, b"\2\x80\x3e\x40\xc0"),
        "minifloat": (MINIFLOAT, bytes.fromhex(re.search(r"`unit` = -3 \(`(.+?)`\)", format_document.TEXT)[1])),
    }
    for row in table("5.2", "level", "grid", "codebook", "minifloat"):
        for name, (kind, value_map) in maps.items():
            level = int(row["level"])
            number = int(value_numbers(np.array([level]), signed=name != "codebook", skip_zero=False)[0])
            # Dense, of one element: a code of no bits whose base is the value number.
            payload = b"" if level == 0 else BUILD.bits((0, 6), (0, 1), (0, 6), number)
            file = BUILD.file(
                BUILD.record(kind=kind, shape=(1,), nonzero=int(level != 0), value_map=value_map, payload=payload)
            )
            for decode in DECODERS:
                if row[name] == "reject":
                    with pytest.raises(CorruptFileError):
                        decode(file)
                else:
                    assert decode(file)[0].values().tolist() == [float(row[name])], (name, level)


def test_rows_and_columns(tmp_path):
    for row in table("5.3", "shape", "rows", "columns"):
        shape = tuple(int(extent) for extent in re.findall(r"\d+", row["shape"]))
        levels = np.ones(shape, dtype=np.int32)
        (tmp_path / "w.bpz").write_bytes(codec.encode([codec.QuantizedTensor("w", levels, codec.Grid(0.5))]))
        row_pointer, columns, _ = codec.open(tmp_path / "w.bpz").csr("w")
        assert len(row_pointer) == int(row["rows"]) + 1
        assert columns.tolist() == [*range(int(row["columns"]))] * int(row["rows"])


# ---- sections 6 to 8 ----


@pytest.mark.parametrize("row", table("6.2", "live indices", "mask_mode", "run_order", "bits"), ids=lambda r: r["bits"])
def test_masks(row):
    live = [bit == "1" for bit in row["live indices"].split()]
    assert int(row["bits"][:2], 2) == int(row["mask_mode"])
    if row["run_order"]:
        assert int(row["bits"][2:5], 2) == int(row["run_order"])
    # A dense layout of one row with this column mask; the value is the same everywhere.
    bits = "00" + "00" + row["bits"] + spelled(StreamCode(0, 1).description)
    bits += "0" * (-len(bits) % 8)
    payload = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    file = BUILD.file(
        BUILD.record(kind=GRID_SHORT, shape=(len(live),), nonzero=sum(live), value_map=b"\0\x3f", payload=payload)
    )
    for decode in DECODERS:
        assert decode(file)[0].levels.tolist() == [int(bit) for bit in live]


def test_the_writer_takes_the_shorter_mask():
    rows = table("6.2", "live indices", "mask_mode", "run_order", "bits")
    for live in {row["live indices"] for row in rows}:
        shortest = min((row["bits"] for row in rows if row["live indices"] == live), key=len)
        assert spelled(mask_fields(np.array([bit == "1" for bit in live.split()]))) == shortest


def test_fixed_width_codes():
    for row in table("7.1", "raw_bits", "base", "description", "number", "bits"):
        code = StreamCode(int(row["raw_bits"]), int(row["base"]))
        assert spelled(code.description) == row["description"]
        assert int(row["base"]) + int(row["bits"] or "0", 2) == int(row["number"])
        assert len(row["bits"]) == int(row["raw_bits"])


def test_the_huffman_code():
    rows = table("7.2", "symbol", "length", "token", "bits of the token", "code")
    lengths = [int(row["length"]) for row in rows]
    assert length_tokens(lengths) == [int(row["token"]) for row in rows]
    tokens = "".join(row["bits of the token"] for row in rows)
    assert PROGRAM["read_code_lengths"](bit_reader(tokens)) == lengths
    codes = {int(row["symbol"]): row["code"] for row in rows if row["code"]}
    assert PROGRAM["canonical_codes"](lengths) == codes
    text = format_document.section("7.2").replace("\n", " ")
    prefix, number, symbol, low, bits = re.search(
        r"description is `(\d+)` followed by the tokens, and the number (\d+) is the symbol (\d+) and the bits `(\d+)`:"
        r" `(\d+)`",
        text,
    ).groups()
    code = StreamCode(2, 0, tuple(lengths))
    assert spelled(code.description) == prefix + tokens
    assert codes[int(symbol)] + low == bits
    assert int(symbol) << 2 | int(low, 2) == int(number)
    listed = re.search(r"the symbols ([\d, ]+) for the next three bits", text)[1]
    starting = [next(s for s, c in codes.items() if f"{index:03b}".startswith(c)) for index in range(8)]
    assert [int(found) for found in listed.split(",")] == starting
    # As the value code of a dense row: the symbols 2, 0, 4 with raw bits 2, 1, 3.
    numbers = [10, 1, 19]
    stream = "".join(codes[n >> 2] + f"{n & 3:02b}" for n in numbers)
    fields = [(0, 6), *((int(bit), 1) for bit in prefix + tokens + stream)]
    file = BUILD.file(
        BUILD.record(kind=GRID_SHORT, shape=(3,), nonzero=3, value_map=b"\0\x3f", payload=BUILD.bits(*fields))
    )
    for decode in DECODERS:
        assert value_numbers(decode(file)[0].levels, signed=True, skip_zero=False).tolist() == numbers


@pytest.mark.parametrize(
    ("lengths", "reason"),
    [([2, 2, 2, 1], "over-full"), ([12] * 3 + [0] * 4093, "incomplete"), ([13], "outside"), ([2, 0], "ends within")],
)
def test_the_pseudocode_rejects_bad_code_lengths(lengths, reason):
    fields = BitFields()
    for token in length_tokens(lengths):
        fields.put_golomb(token)
    with pytest.raises(Rejection, match=reason):
        PROGRAM["read_code_lengths"](bit_reader(spelled(fields)))


@pytest.mark.parametrize("number", ["8.1", "8.2", "8.3"])
def test_prefix_coded_layouts(number):
    payload = bits_as_bytes(table(number, "bits", "field"))
    assert payload[0] >> 6 == int(number[-1]) - 1
    file = BUILD.file(BUILD.record(kind=GRID_SHORT, shape=(2, 5), nonzero=3, value_map=b"\0\x3f", payload=payload))
    for decode in DECODERS:
        np.testing.assert_array_equal(decode(file)[0].levels, MATRIX)


def test_the_matrix_of_the_prefix_coded_layouts():
    rows = re.findall(r"^    ([\d -]+)$", format_document.section("8").split("### ")[0], re.MULTILINE)
    np.testing.assert_array_equal([[int(level) for level in row.split()] for row in rows], MATRIX)


def test_gaps():
    for row in table("8.4", "index_bits", "gap", "index numbers"):
        numbers, index_bits, gap = row["index numbers"].split(), int(row["index_bits"]), int(row["gap"])
        filler = 2**index_bits - 1
        assert [int(number) for number in numbers] == [filler] * (gap // filler) + [gap % filler]
        assert PROGRAM["read_gap"](map(int, numbers).__next__, index_bits, gap + 1) == gap
        with pytest.raises(Rejection):
            PROGRAM["read_gap"](map(int, numbers).__next__, index_bits, gap)
        # In the running layout of one row whose last element is the only non-zero.
        fields = [(2, 2), (0, 4), (index_bits, 5), (0, 1), (index_bits, 6), 0, (0, 1), (0, 6), 0]
        fields += [(int(number), index_bits) for number in numbers]
        file = BUILD.file(
            BUILD.record(kind=GRID_SHORT, shape=(gap + 1,), nonzero=1, value_map=b"\0\x3f", payload=BUILD.bits(*fields))
        )
        for decode in DECODERS:
            assert decode(file)[0].levels.tolist() == [0] * gap + [1]


def test_value_numbers():
    columns = {"dense": (True, False), "layouts 1 and 2": (True, True)}
    columns |= {f"{name}, codebook": (False, skip) for name, (_, skip) in list(columns.items())}
    for row in table("8.5", "level", *columns):
        for name, (signed, skip_zero) in columns.items():
            if row[name]:
                found = value_numbers(np.array([int(row["level"])]), signed=signed, skip_zero=skip_zero)
                assert found.tolist() == [int(row[name])]


# ---- section 9 ----


def numbers_of(source: str, name: str) -> list[int]:
    """A table of the C sources."""
    body = re.search(rf"{name}\[[^\]]*\] = \{{(.*?)\}}", source, re.DOTALL)[1]
    return [int(number) for number in re.findall(r"\d+", body)]


def test_tables_are_those_of_their_formulas_and_of_the_c_decoder():
    source = (C_SOURCES / "adaptive_model.c").read_text()
    assert PROGRAM["LOGISTIC"] == reference_adaptive.LOGISTIC == numbers_of(source, "logistic")
    assert PROGRAM["POWER_OF_MEAN"] == reference_adaptive.POWER_OF_MEAN == numbers_of(source, "power_of_mean")


def test_log_odds():
    for row in table("9.4", "log odds", "squash"):
        for squash in (PROGRAM["squash"], reference_adaptive.squash):
            assert squash(int(row["log odds"])) == int(row["squash"])
    for row in table("9.4", "probability", "stretch", "density_step"):
        for names in (PROGRAM, vars(reference_adaptive)):
            assert names["stretch"](int(row["probability"])) == int(row["stretch"])
            assert names["density_step"](int(row["probability"])) == int(row["density_step"])


@pytest.mark.parametrize("slot_type", [PROGRAM["Slot"], reference_adaptive.Slot])
def test_slots(slot_type):
    for row in table("9.3", "probability", "seen", "bit", "probability after", "seen after"):
        slot = slot_type(int(row["probability"]), int(row["seen"]))
        slot.learn(int(row["bit"]))
        assert (slot.probability, slot.seen) == (int(row["probability after"]), int(row["seen after"]))


@pytest.mark.parametrize("decoder_type", [PROGRAM["RangeDecoder"], reference_adaptive.RangeDecoder])
def test_steps_of_the_range_decoder(decoder_type):
    start, *steps = table("9.2", "step", "range after", "offset after", "bit")
    stream = bytes.fromhex(re.search(r"Example: the stream `([\dA-F ]+)`", format_document.section("9.2"))[1])
    decoder = decoder_type(stream)
    assert (f"{decoder.range:016X}", f"{decoder.offset:016X}") == (start["range after"], start["offset after"])
    for step in steps:
        bit = decoder.decode_bit(int(re.fullmatch(r"decode_bit\((\d+)\)", step["step"])[1]))
        assert (f"{decoder.range:016X}", f"{decoder.offset:016X}", str(bit)) == (
            step["range after"],
            step["offset after"],
            step["bit"],
        )


def evaluated(name: str, model) -> int:
    """A state of a model, such as "exponent_slots[0].probability"."""
    return eval(f"model.{name}", {"model": model})


class Chosen:
    """A decoder that returns chosen bits."""

    def __init__(self, bits: str) -> None:
        self.bits = bits

    def decode_bit(self, probability: int) -> int:
        return self.decode_plain(1)

    def decode_plain(self, count: int) -> int:
        taken, self.bits = self.bits[:count], self.bits[count:]
        return int(taken, 2)


def test_where_the_model_begins():
    def document(gap_bits):
        model = PROGRAM["Model"](3, 3, 5, 9)
        model.begin_gaps(gap_bits)
        return model

    def oracle(gap_bits):
        return reference_adaptive.Model(3, 3, 5, 9, False, gap_bits)

    for make in (document, oracle):
        for row in table("9.5", "variable", "at the beginning"):
            name, _, gap_bits = row["variable"].partition(", gap_bits ")
            assert evaluated(name, make(int(gap_bits or 0))) == int(row["at the beginning"]), row["variable"]


def test_the_first_flag():
    rows = table("9.6", "variable", "before", "after")
    text = format_document.section("9.6").replace("\n", " ")
    numbers = r"step (\d+), .* number (\d+)\. .* are (\d+), .* probability (\d+)\. .* `error` is (\d+)"
    step, slot, log_odds, probability, error = map(int, re.search(numbers, text).groups())
    (row,) = [row for row in table("10.1", "bits", "field") if row["field"].startswith("stream")]
    stream = bytes.fromhex(row["field"].partition(":")[2])
    document, oracle = PROGRAM["Model"](3, 3, 5, 9), reference_adaptive.Model(3, 3, 5, 9, False, None)
    flags = {
        PROGRAM["RangeDecoder"]: (PROGRAM, document, lambda decoder: PROGRAM["decode_flag"](document, decoder, 0)),
        reference_adaptive.RangeDecoder: (vars(reference_adaptive), oracle, lambda decoder: oracle._flag(decoder, 0)),
    }
    for decoder_type, (names, model, decode_flag) in flags.items():
        assert (names["density_step"](model.density), 4 * step) == (step, slot)
        assert names["stretch"](model.column_slots[slot].probability) == log_odds
        assert 16 * names["squash"](log_odds) == probability
        assert 6 * (4096 - names["squash"](log_odds)) == error
        assert [evaluated(row["variable"], model) for row in rows] == [int(row["before"]) for row in rows]
        assert decode_flag(decoder_type(stream)) == 1
        assert [evaluated(row["variable"], model) for row in rows] == [int(row["after"]) for row in rows]


def test_gaps_of_the_adaptive_layout():
    for row in table("9.9", "gap_bits", "gap", "bits of steps", "plain bits"):
        gap_bits, gap = int(row["gap_bits"]), int(row["gap"])
        model = PROGRAM["Model"](1, 20, 3, 0)
        model.begin_gaps(gap_bits)
        chosen = Chosen(row["bits of steps"] + row["plain bits"])
        assert PROGRAM["decode_gap"](model, chosen, 20) == gap
        assert not chosen.bits
        with pytest.raises(Rejection):
            PROGRAM["decode_gap"](model, Chosen(row["bits of steps"] + row["plain bits"]), gap)


def adaptive_streams(data: bytes):
    """The bit streams of the adaptive layout in a file, after their masks: reader, live shape, non-zeros, levels."""
    described = codec.layout(data).tensors
    for tensor, layout, (start, size) in zip(reference.decode(data), described, sections_of(data), strict=True):
        if layout.entries not in ("adaptive", "adaptive gaps"):
            continue
        source = Source(data[start : start + size - (4 if data[4] & 1 else 0)])
        source.take(round(layout.streams["map"]))
        bits = PROGRAM["BitReader"](source.data[source.at :])
        assert bits.read(2) == 3
        matrix = tensor.levels.reshape(tensor.levels.shape[0] if tensor.levels.ndim > 1 else 1, -1)
        live = [read_mask(bits, extent) for extent in matrix.shape]
        yield bits, matrix[np.ix_(*live)], isinstance(tensor.value_map, codec.Codebook)


def read_mask(bits, extent: int) -> list[int]:
    """Section 6.2."""
    mode = bits.read(2)
    if mode == 0:
        return list(range(extent))
    if mode == 1:
        return [index for index in range(extent) if bits.read(1)]
    order, is_live, live, at = bits.read(3), bits.read(1), [], 0
    while at < extent:
        run = PROGRAM["read_golomb"](bits, order) + 1
        live += range(at, at + run) if is_live else ()
        at, is_live = at + run, 1 - is_live
    return live


def test_the_pseudocode_decodes_what_the_encoder_writes():
    files = [bytes.fromhex(path.read_text()) for path in sorted(GOLDEN.glob("*.hex"))] + sample_files()
    decoded = 0
    for data in files:
        for bits, levels, is_codebook in adaptive_streams(data):
            found = PROGRAM["decode_adaptive"](bits, *levels.shape, int(np.count_nonzero(levels)), is_codebook)
            flat = levels.ravel()
            assert found == {int(at): int(flat[at]) for at in np.flatnonzero(flat)}
            decoded += 1
    assert decoded > 10


@pytest.mark.parametrize("gap_bits", [None, 0, 3, 31])
@pytest.mark.parametrize("seed", range(30))
def test_the_pseudocode_judges_any_bits_as_the_reference_does(gap_bits, seed):
    """Chosen bits reach what an encoder never writes: gaps past the end, levels past int32."""
    rng = np.random.default_rng(seed)
    rows, columns = int(rng.integers(1, 5)), int(rng.integers(1, 9))
    nonzero = int(rng.integers(1, rows * columns + 1))
    mean_code, is_codebook = int(rng.integers(32)), bool(rng.integers(2))
    chosen = (rng.random(5000) < rng.choice([0.1, 0.5, 0.9, 0.99])).astype(int).tolist()
    stream = forced_stream(
        chosen, rows=rows, columns=columns, nonzero=nonzero, mean_code=mean_code, is_codebook=is_codebook,
        gap_bits=gap_bits,
    )  # fmt: skip
    stream = stream if rng.integers(3) else stream[: int(rng.integers(len(stream) + 1))] + rng.bytes(2)
    fields = [(mean_code, 5), (int(gap_bits is not None), 1)] + ([] if gap_bits is None else [(gap_bits, 5)])
    payload = BUILD.bits(*fields) + stream

    def answer(decode, bits):
        try:
            return dict(decode(bits, rows, columns, nonzero, is_codebook=is_codebook))
        except (Rejection, CorruptFileError):
            return "rejected"

    found = answer(PROGRAM["decode_adaptive"], PROGRAM["BitReader"](payload))
    expected = answer(reference_adaptive.read_adaptive, reference.BitReader(payload))
    if expected != "rejected" and any(not -(2**31) <= level < 2**31 for level in expected.values()):
        expected = "rejected"  # what reference.py checks
    assert found == expected


# ---- section 10 ----

WEIGHT = codec.QuantizedTensor(
    "fc.weight", np.array([[0, 6, 0, 0], [0, -1, -7, 0], [0, 10, 0, 1]], dtype=np.int32), codec.Grid(0.25)
)
BIAS = codec.RawTensor("fc.bias", np.float32([1, -2, 0.5]))
SMALL = codec.QuantizedTensor("w", np.array([[0, 0, 3], [0, -1, 0]], dtype=np.int32), codec.Grid(0.5))
WORKED = {"10.1": ([WEIGHT, BIAS], {}), "10.2": ([SMALL], {}), "10.3": ([SMALL], {"seekable": True})}


@pytest.mark.parametrize("number", WORKED)
def test_worked_files(number):
    """Encoder, dump, table and both decoders: every byte once, and without gaps."""
    tensors, options = WORKED[number]
    (dump,) = dumps(number)
    assert codec.encode(tensors, **options) == dump
    rows = table(number, "offset", "bytes", "field")
    at = 0
    for row in rows:
        assert int(row["offset"]) == at, row["field"]
        at += len(bytes.fromhex(row["bytes"]))
    assert bytes.fromhex(" ".join(row["bytes"] for row in rows)) == dump
    for row in rows:
        if named := re.search(r"_checksum ([\dA-F]{8})", row["field"]):
            assert int.from_bytes(bytes.fromhex(row["bytes"]), "little") == int(named[1], 16)
    for decode in DECODERS:
        for tensor, expected in zip(decode(dump), tensors, strict=True):
            assert tensor.name == expected.name
            assert tensor.values().tobytes() == expected.values().tobytes()
            if isinstance(expected, codec.QuantizedTensor):
                np.testing.assert_array_equal(tensor.levels, expected.levels)
                assert tensor.value_map.step == expected.value_map.step


@pytest.mark.parametrize("number", ["10.1", "10.2"])
def test_the_bits_of_worked_payloads(number):
    (row,) = [row for row in table(number, "offset", "bytes", "field") if row["field"].startswith("payload")]
    assert bits_as_bytes(table(number, "bits", "field")) == bytes.fromhex(row["bytes"])


def test_the_levels_of_the_first_worked_file():
    rows = re.findall(r"^    ([\d -]+)$", format_document.section("10.1"), re.MULTILINE)
    np.testing.assert_array_equal([[int(level) for level in row.split()] for row in rows], WEIGHT.levels)


class Recorder(reference_adaptive.RangeDecoder):
    """Notes each step of the reference decoder."""

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self.steps: list[tuple[str, ...]] = []

    def decode_bit(self, probability: int) -> int:
        before = str(probability), f"{self.range:016X}", f"{self.offset:016X}"
        bit = super().decode_bit(probability)
        self.steps.append((str(len(self.steps) + 1), *before, str(bit)))
        return bit


def test_the_steps_of_the_first_worked_file():
    rows = table("10.1", "step", "meaning", "probability", "range", "offset", "bit")
    fields = {row["field"].partition(":")[0]: row for row in table("10.1", "bits", "field")}
    stream = bytes.fromhex(fields["stream"]["field"].partition(":")[2])
    assert int(fields["stream"]["bits"], 2).to_bytes(len(stream), "big") == stream
    decoder = Recorder(stream)
    levels = WEIGHT.levels[:, 1:]
    mean_code = int(fields["mean_code"]["bits"], 2)
    model = reference_adaptive.Model(*levels.shape, int(np.count_nonzero(levels)), mean_code, False, None)
    found = dict(model.levels(decoder))
    decoder.finish()
    assert decoder.renormalisations == 1
    assert [tuple(row[name] for name in row if name != "meaning") for row in rows] == decoder.steps
    flat = levels.ravel()
    assert found == {int(at): int(flat[at]) for at in np.flatnonzero(flat)}
    meanings = []
    for position, level in enumerate(flat.tolist()):
        meanings.append(f"flag of position {position}")
        if level:
            exponent = abs(level).bit_length() - 1
            meanings.append(f"sign of the level {level}")
            meanings += [f"exponent above {above}" for above in range(exponent + 1)]
            meanings += [f"digit {place}" for place in range(exponent)]
    assert [row["meaning"] for row in rows] == meanings


def test_every_table_of_examples_is_tested():
    """A table that no test here names would be a statement that nobody checks; tables of fields are prose."""
    prose = {("term", "meaning"), ("notation", "meaning"), ("place of the error", "consequence")}
    prose |= {("mask_mode", "fields that follow")}
    source = (C_SOURCES.parents[1] / "tests" / "codec" / "test_codec_format.py").read_text()
    for heading in re.findall(r"^#{2,3} (\d+(?:\.\d+)?)\.? ", format_document.TEXT, re.MULTILINE):
        if "." not in heading and re.search(rf"^### {heading}\.", format_document.TEXT, re.MULTILINE):
            continue
        for rows in tables(heading):
            columns = tuple(rows[0])
            if columns in prose or columns[0] == "field":
                continue
            assert f'"{columns[0]}"' in source, f"section {heading}: {columns}"
