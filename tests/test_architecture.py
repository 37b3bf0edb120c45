"""The direction of the stages, and what a command must not import before it needs it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bayespress import codec

ROOT = Path(__file__).parent.parent
STAGES = ("train", "compress", "codec", "deploy", "cli")
# What each may import of the package beside its own files; the face (cli, api) may import everything.
COMMON = {"errors", "files", "labels", "outputs", "html_report", "text"}  # of all stages but the codec
ALLOWED = {
    "codec": {"errors", "files", "outputs", "text"},
    "train": COMMON,
    "compress": COMMON | {"codec", "packed_format", "optuna_study"},
    "deploy": COMMON | {"codec", "optional", "packed_format"},
    "packed_format": COMMON,
    "files": {"errors", "text"},
    "optional": {"errors"},
    "labels": {"errors", "text"},
    "outputs": {"errors", "files", "text"},
    "html_report": {"errors", "text"},
    "optuna_study": {"errors", "outputs", "text"},
    "errors": {"text"},
    "text": set(),
}


def imported(path: Path) -> set[str]:
    """Top-level parts of the package that a file imports, at module level or inside a function."""
    package = ("bayespress", *path.relative_to(ROOT).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            full = [*base, *(node.module.split(".") if node.module else [])]
            names = [[*full, alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        else:
            continue
        found |= {parts[1] for parts in names if parts[0] == "bayespress" and len(parts) > 1}
    return found


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_a_stage_imports_only_what_lies_below_it(part):
    paths = sorted((ROOT / part).rglob("*.py")) if part in STAGES else [ROOT / f"{part}.py"]
    assert paths
    for path in paths:
        foreign = imported(path) - {part} - ALLOWED[part]
        assert not foreign, f"{path.relative_to(ROOT)} imports {sorted(foreign)}"


def test_the_check_sees_imports():
    assert "codec" in imported(ROOT / "compress" / "quantize.py")
    assert "deploy" in imported(ROOT / "cli" / "verify.py")


HEAVY = ("torch", "tvm", "lightning", "onnx", "onnxruntime", "matplotlib", "sklearn")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["verify", "--help"], ["inspect", "w.bpz"], ["verify", "w.bpz"]], ids=" ".join
)
def test_commands_on_files_start_without_heavy_packages(arguments, tmp_path):
    (tmp_path / "w.bpz").write_bytes(codec.encode([codec.RawTensor("w", np.ones(3, np.float32))]))
    program = (
        "import sys\nfrom bayespress.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('loaded:', [name for name in {HEAVY} if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.stdout.splitlines()[-1:] == ["loaded: []"], result.stdout + result.stderr
