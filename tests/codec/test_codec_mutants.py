"""Each check of the C decoder is removed in turn; the result for some file or call here must change."""

from __future__ import annotations

import shutil
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from codec_bad_adaptive import BAD_ADAPTIVE
from codec_bad_files import BAD_FILES
from codec_bad_streams import BAD_STREAMS
from codec_files import FileBuilder
from codec_mutants import Laboratory, all_mutants
from codec_samples import sample_files
from codec_sources import GOLDEN

from bayespress import codec

_MATRIX = "if (bpzi_kind_is_raw(tensor->kind) || (tensor->columns > UINT32_MAX && tensor->count != 0) ||"
PASSED_ON = "status != BPZ_OK"
# Checks that no file can tell from their absence: by source, condition and the line before it.
EQUIVALENT = {
    ("code.c", PASSED_ON, "bpz_status status = bpzi_bits_read(bits, 1, &is_huffman);"): (
        "no bit is left, and the width that is read next meets the end of the stream too"
    ),
    ("decode.c", PASSED_ON, "bpz_status status = bpzi_bits_read(&self->bits, 2, &self->layout);"): (
        "a payload is whole bytes, so none is left, and the mask that is read next meets the end too"
    ),
    ("decode.c", "tensor->nonzero > SIZE_MAX / sizeof *columns", _MATRIX): (
        "with addresses of 64 bits, 2^32 - 1 entries can be addressed; the check is for those of 32 bits"
    ),
    ("layouts.c", PASSED_ON, "bpz_status status = bpzi_fast_running(&fast, &self->bits);"): (
        "the plain decoder goes on behind the last sound entry, and meets the same bad index"
    ),
    ("mask.c", PASSED_ON, "bpz_status status = bpzi_bits_read(bits, 2, &mask->mode);"): (
        "one bit is left at most, and each layout reads more than that behind its masks"
    ),
    ("mask.c", PASSED_ON, "status = bpzi_bits_read(bits, 4, &number);"): (
        "three bits are left at most, and each layout reads more than that behind its masks"
    ),
    ("name.c", "at >= size", "for (; tail != 0; tail--) {"): (
        "the NUL behind a name is below the first byte that may continue a character"
    ),
}


def corpus() -> bytes:
    """The file that verdicts.c uses for wrong calls, invalid files for each reason, golden files and samples."""
    weights = codec.QuantizedTensor("w", np.array([[1, 0], [0, -3]], dtype=np.int32), codec.Grid(0.5))
    first = codec.encode([weights, codec.RawTensor("r", np.float32([1.5, 2]))], seekable=True)
    build = FileBuilder()
    bad = [make(build) for _, make in (BAD_FILES | BAD_STREAMS | BAD_ADAPTIVE).values()]
    golden = [bytes.fromhex(path.read_text()) for path in sorted(GOLDEN.glob("*.hex"))]
    return b"".join(struct.pack("<I", len(data)) + data for data in [first, *bad, *golden, *sample_files()])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_removing_any_check_changes_a_result(tmp_path):
    if shutil.which("gcc") is None:
        pytest.skip("gcc, which builds the decoders, is not installed")
    mutants = all_mutants()
    assert len(mutants) > 200, "the finder of checks has lost some"
    laboratory = Laboratory(tmp_path, corpus())
    sound = laboratory.sound()
    assert sound.startswith("0 "), sound[:200]
    with ThreadPoolExecutor(2) as pool:
        judged = list(pool.map(laboratory.judged, mutants, range(len(mutants))))
    unmissed = [mutant for mutant, message in zip(mutants, judged, strict=True) if message == sound]
    excused = [mutant for mutant in unmissed if (mutant.file, mutant.check, mutant.behind) in EQUIVALENT]
    surplus = [f"{m.file}:{m.line}: {m.check} (behind: {m.behind})" for m in unmissed if m not in excused]
    assert not surplus, "no file here tells the decoder without these checks from the real one:\n" + "\n".join(surplus)
    assert len(excused) == len(EQUIVALENT), "an excuse is for a check that is missed after all, or is gone"
