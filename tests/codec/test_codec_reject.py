"""One invalid file for each reason to reject it, with the expected status."""

from __future__ import annotations

import numpy as np
import pytest
from codec_bad_adaptive import BAD_ADAPTIVE
from codec_bad_files import BAD_FILES
from codec_bad_streams import BAD_STREAMS
from codec_fields import CHECKSUM, CORRUPT, NOT_BPZ, TRAILING, TRUNCATED, VERSION, plain, stream

from bayespress import codec
from bayespress.codec import reference
from bayespress.codec.native import StatusError
from bayespress.errors import CorruptFileError, InputError

CASES = BAD_FILES | BAD_STREAMS | BAD_ADAPTIVE


@pytest.mark.parametrize("reason", CASES)
def test_rejects_invalid_file(build, reason):
    status, make = CASES[reason]
    data = make(build)
    with pytest.raises(StatusError, match="cannot be read") as caught:
        codec.decode(data)
    assert caught.value.status == status
    with pytest.raises(CorruptFileError):
        reference.decode(data)


def test_the_valid_file_that_invalid_ones_vary(build):
    data = stream(build, *plain(build))
    for decode in (codec.decode, reference.decode):
        (tensor,) = decode(data)
        np.testing.assert_array_equal(tensor.levels, [[0, 0, 0], [0, -1, 0]])


def test_every_status_has_a_case_and_a_sentence():
    reachable = {NOT_BPZ, VERSION, TRUNCATED, TRAILING, CHECKSUM, CORRUPT}
    assert {status for status, _ in CASES.values()} == reachable


@pytest.mark.parametrize("decode", [codec.decode, reference.decode])
def test_declared_elements_are_limited_by_the_file_size(build, decode):
    data = build.file(build.record(nonzero=0, shape=(2**31 - 1,)))
    assert len(data) < 60
    with pytest.raises(InputError, match=r"2147483647 elements"):
        decode(data)
    with pytest.raises(InputError, match=r"5 elements|6 elements"):
        decode(build.file(build.record(nonzero=0)), max_elements=5)
    assert decode(build.file(build.record(nonzero=0)), max_elements=6)[0].levels.shape == (2, 3)
