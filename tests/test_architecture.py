"""The direction of imports between the stages, and the packages that commands must not import at their start."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Collection
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest

from bayespress import codec

ROOT = Path(__file__).parent.parent
STAGES = ("train", "compress", "codec", "deploy", "workflow", "testing", "cli", "html_report")
# The parts of the package that each part may import in addition to its own files; cli and api.py may import everything.
COMMON = {
    "confusion",
    "errors",
    "files",
    "html_report",
    "labels",
    "metric",
    "optional",
    "outputs",
    "plugins",
    "record_version",
    "setting_types",
    "signatures",
    "text",
}  # of all but the codec
ALLOWED = {
    "codec": {"errors", "files", "outputs", "text"},
    "train": COMMON,
    "compress": COMMON | {"codec", "packed_format", "optuna_study"},
    "deploy": COMMON | {"codec", "optional", "packed_format"},
    "workflow": COMMON | {"codec", "compress", "deploy", "optional", "optuna_study", "packed_format", "train"},
    "testing": COMMON | {"codec", "compress", "deploy", "optional", "train", "workflow"},
    "packed_format": COMMON,
    "files": {"errors", "text"},
    "optional": {"errors"},
    "plugins": {"errors", "text"},
    "setting_types": {"errors"},
    "record_version": {"errors"},
    "signatures": set(),
    "labels": {"errors", "text"},
    "confusion": set(),
    "metric": set(),
    "outputs": {"errors", "files", "text"},
    "html_report": {"_version", "metric", "optional", "text"},
    "optuna_study": {"errors", "outputs", "text"},
    "errors": {"extras", "text"},
    "extras": set(),
    "text": set(),
}


def imported(path: Path) -> set[str]:
    """The top-level parts of the package that a file imports, at module level or inside a function."""
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


def test_the_check_detects_imports():
    assert "codec" in imported(ROOT / "compress" / "quantize.py")
    assert "deploy" in imported(ROOT / "workflow" / "bundle.py")


ROOMS = ("program", "bundle", "compile", "devices", "verify", "measure", "builder", "runtime")
# The packages of deploy that each package may import.
BELOW = {
    "program": set(),
    "bundle": {"program"},
    "compile": {"program"},
    "devices": {"bundle", "compile"},
    "verify": {"program", "bundle", "devices"},
    "measure": {"program", "bundle", "devices", "verify"},
    "builder": {"program", "bundle", "compile", "devices", "verify"},
    "runtime": set(),
}


def modules() -> dict[str, Path]:
    """The files of all modules by their dotted names without the package's name."""
    found = {}
    for top in (*STAGES, *(path.stem for path in ROOT.glob("*.py") if path.stem != "setup")):
        paths = (ROOT / top).rglob("*.py") if top in STAGES else [ROOT / f"{top}.py"]
        for path in paths:
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported_modules(name: str, path: Path, known: Collection[str]) -> set[str]:
    """The modules that a module imports, also inside functions and under TYPE_CHECKING."""
    package = path.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            module = ".".join((*base, *(node.module.split(".") if node.module else ())))
            for alias in node.names:
                inner = f"{module}.{alias.name}" if module else alias.name
                found.add(inner if inner in known else module)
    return {each for each in found if each in known and each != name}


def test_the_imports_of_modules_form_no_circle():
    known = modules()
    graph = {name: imported_modules(name, path, known) for name, path in known.items()}
    graph.pop("")  # the package itself, which lists the public names
    assert len(graph) > 200
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_rooms_of_deploy_import_only_rooms_below():
    assert {path.name for path in (ROOT / "deploy").iterdir() if path.is_dir() and path.name[0] != "_"} == set(ROOMS)
    assert {path.name for path in (ROOT / "deploy").glob("*.py")} == {"__init__.py"}
    assert len(ROOMS) <= 8
    known = modules()
    for name, path in known.items():
        _, _, inside = name.partition("deploy.")
        if not inside:
            continue
        room = inside.partition(".")[0]
        rooms = {each.split(".")[1] for each in imported_modules(name, path, known) if each.startswith("deploy.")}
        assert rooms - {room} <= BELOW[room], f"{name} imports {sorted(rooms - {room} - BELOW[room])}"


HEAVY = ("torch", "tvm", "lightning", "onnx", "onnxruntime", "altair", "vl_convert", "jinja2", "sklearn")


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
