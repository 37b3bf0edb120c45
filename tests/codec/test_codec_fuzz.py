"""libFuzzer on the C decoder, under the address and undefined-behaviour sanitizers.

`make test` gives it a few seconds. For longer, in seconds:
BAYESPRESS_FUZZ_SECONDS=3600 make check-tests PYTEST_ARGS=tests/codec/test_codec_fuzz.py
"""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from codec_sources import C_SOURCES, C_TESTS, GOLDEN, STRICT

SECONDS = int(os.environ.get("BAYESPRESS_FUZZ_SECONDS", "15"))


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 240)
def test_libfuzzer_finds_nothing(tmp_path):
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("clang with its fuzzer runtime (clang, libclang-rt-14-dev) is not installed")
    program, corpus = tmp_path / "fuzz", tmp_path / "corpus"
    sources = [str(path) for path in sorted(C_SOURCES.glob("*.c"))]
    flags = ["-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
    flags += ["-DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION", f"-I{C_SOURCES}"]
    built = subprocess.run(
        [clang, *flags, *STRICT, str(C_TESTS / "fuzz.c"), *sources, "-o", str(program)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    corpus.mkdir()
    for golden in GOLDEN.glob("*.hex"):
        (corpus / golden.stem).write_bytes(bytes.fromhex(golden.read_text()))
    # A process begins with the peak memory of the one that started it, and libFuzzer limits the peak. This one may be
    # large, so a shell starts the program.
    options = [f"-max_total_time={SECONDS}", "-max_len=4096", "-timeout=20", "-rss_limit_mb=1024"]
    options += ["-print_final_stats=1", f"-artifact_prefix={tmp_path}/"]
    ran = subprocess.run(
        ["sh", "-c", '"$@"; exit $?', "sh", str(program), str(corpus), *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    executed = [line.split()[-1] for line in ran.stderr.splitlines() if "number_of_executed_units" in line]
    assert int(executed[0]) > 1000, ran.stderr[-500:]
