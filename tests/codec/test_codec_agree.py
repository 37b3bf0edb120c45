"""Decode a few thousand forged files with every reader; tests/codec/agree.py can decode millions."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import agree


@pytest.mark.slow
def test_all_readers_give_one_answer(tmp_path):
    if shutil.which("gcc") is None:
        pytest.skip("gcc, which builds the program, is not installed")
    total = agree.agree(agree.build(tmp_path), 100_000, 3_000, seed=7, report=lambda line: None)
    assert total["files"] == 100_000
    # The forged files reach what lies behind the checks: neither all nor none are refused.
    assert total["tensors decoded"] > 10_000
    assert total["tensors"] - total["tensors decoded"] > 10_000
    assert total["reference: decoded"] > 300
    assert total["reference: refused"] > 300
    assert total["reference: decoded"] + total["reference: refused"] + total["reference: over the limit"] >= 2_990


@pytest.mark.slow
def test_forged_files_under_the_sanitizers_of_clang(tmp_path):
    if shutil.which("clang") is None:
        pytest.skip("clang with its sanitizers is not installed")
    flags = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    total = agree.agree(agree.build(tmp_path, *flags, compiler="clang"), 20_000, 0, seed=8, report=lambda line: None)
    assert total["files"] == 20_000
