"""The contents of the wheel and of the source archive, and the errors of a bare wheel about missing extras."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from bayespress import extras
from bayespress.cli.app import COMMANDS

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMPORT_NAMES = {
    "apache-tvm": "tvm", "apache-tvm-ffi": "tvm_ffi", "pillow": "PIL", "scikit-learn": "sklearn",
    "torch-pruning": "torch_pruning", "vl-convert-python": "vl_convert",
}  # fmt: skip


def _clean(**more: str) -> dict[str, str]:
    """The environment without the variables that make this source tree importable."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "BAYESPRESS_DEBUG")}
    return {**kept, **more}


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """A wheel and a source archive, built from a copy of the files in git, because building leaves files behind."""
    copy, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    for job in ("sdist", "wheel"):
        script = f"import sys, setuptools.build_meta as backend; backend.build_{job}(sys.argv[1])"
        command = [sys.executable, "-c", script, str(out)]
        subprocess.run(command, cwd=copy, env=_clean(), capture_output=True, check=True)
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def test_extras_match_pyproject():
    """The messages use the names in extras.py, so extras.py must match pyproject.toml."""
    declared = PROJECT["optional-dependencies"]
    for extra, packages in extras.PACKAGES.items():
        names = [line.split(">")[0].split("=")[0].split("<")[0] for line in declared[extra]]
        assert {IMPORT_NAMES.get(name, name) for name in names} == set(packages)
    assert declared["all"] == [f"bayespress[{','.join(('train', 'compress', 'deploy', 'report'))}]"]


def test_dependencies_are_ranges():
    lines = [*PROJECT["dependencies"]]
    for extra, listed in PROJECT["optional-dependencies"].items():
        lines += [] if extra == "dev" else listed
    assert not [line for line in lines if "==" in line]


def test_completion_lists_the_commands():
    environment = {
        **os.environ,
        "_BAYESPRESS_COMPLETE": "complete_bash",
        "COMP_WORDS": "bayespress ",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "bayespress"], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [command.__name__ for command, _ in COMMANDS]


@pytest.mark.slow
def test_the_wheel_runs_and_the_source_archive_contains_documents(archives):
    wheel, source = archives
    assert "-cp311-abi3-" in wheel.name
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"bayespress/_version.py", "bayespress/codec/_bpz.abi3.so", "bayespress/train/kernels/_kl.abi3.so"} <= names
    assert {f"bayespress/html_report/templates/{name}" for name in ("charts.js", "page.css", "page.html")} <= names
    assert "bayespress/docs/glossary.md" in names, "pages explain terms by it"
    assert not [name for name in names if Path(name).name in ("setup.py", "build_cffi.py") or "/tests/" in name]
    with tarfile.open(source) as archive:
        members = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"README.md", "ARCHITECTURE.md", "CHANGELOG.md", "setup.py", "codec/build_cffi.py", "codec/c/bpz.h",
              "train/kernels/kl.c", "train/kernels/kl.h", "tests/test_packaging.py", "tests/conftest.py",
              "constraints.txt", "Makefile", "deploy/runtime/runtime.c"}  # fmt: skip
    assert wanted <= members
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")} <= members
    assert not [name for name in members if name.endswith((".so", ".pyc")) or name.startswith("build/")]


@pytest.fixture(scope="module")
def bare(archives, tmp_path_factory):
    """The Python of an environment with only the wheel and its base dependencies."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin/python"
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", archives[0]], env=_clean(), check=True
    )
    return python


def _inputs(folder: Path) -> None:
    """Inputs that pass all checks that a command can make without the packages of its extra."""
    import numpy as np
    import torch
    from safetensors.numpy import save_file

    import bayespress

    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    packed = bayespress.compress(bayespress.bayesianize(layers), torch.randn(8, 4), threshold=20.0)
    packed.write(folder / "packed")
    bayespress.build(packed, ["host"], folder / "net.bundle")
    save_file({"ones": np.ones((4, 4), np.float32)}, folder / "w.safetensors")
    torch.save({"ones": torch.ones(4, 4)}, folder / "w.pt")


# A command, its arguments, and the extra that its error must name; None if the base dependencies are sufficient.
CASES = [
    ("demo", ["--out", "demo"], "all"),
    ("train", ["--model", "lenet-300-100", "--data", "digits", "--out", "run"], "train"),
    ("search", ["lenet-300-100/sparse-vd", "--out", "found"], "all"),
    ("compress", ["w.pt"], "compress"),
    ("build", ["packed", "--target", "host", "--out", "second.bundle"], "deploy"),
    ("sign", ["--new-key", "key.pem"], "deploy"),
    ("targets", [], None),
    ("bench", ["net.bundle"], "deploy"),
    ("verify", ["net.bundle"], None),
    ("inspect", ["packed"], None),
    ("decode", ["packed/weights.bpz", "--out", "decoded.safetensors"], None),
    ("report", ["packed", "--out", "page.html"], "report"),
]

FUNCTIONS = {
    "bayespress.bayesianize(None)": "train",
    "bayespress.fit(None, None)": "train",
    "bayespress.predict_samples(None, None)": "train",
    "bayespress.compress('w.pt')": "compress",
    "bayespress.compress(object(), object())": "compress",
    "bayespress.tune(object(), object(), max_bytes=9)": "compress",
    "bayespress.build('packed', ['host'], 'third.bundle')": "deploy",
    "bayespress.bench('net.bundle')": "deploy",
    "bayespress.report('packed', 'page.html')": "report",
    "bayespress.load('packed')": "deploy",
    "bayespress.verify('net.bundle')": None,
    "bayespress.inspect('packed')": None,
    "bayespress.load('packed/weights.bpz')": None,
    "dir(bayespress), help(bayespress)": None,
}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_bare_wheel_names_the_missing_extra(bare, tmp_path):
    _inputs(tmp_path)
    assert {case[0] for case in CASES} == {command.__name__ for command, _ in COMMANDS}
    wrong = []

    def check(what: str, extra: str | None, arguments: list[str]) -> None:
        done = subprocess.run(
            [bare, *arguments], cwd=tmp_path, env=_clean(PAGER="cat"), capture_output=True, text=True, timeout=120
        )
        sentence = done.stderr.strip().splitlines()[-1:] or [""]
        if extra is None:
            good = done.returncode == 0 and "Traceback" not in done.stderr
        else:
            good = done.returncode == 3 and f"pip install 'bayespress[{extra}]'" in sentence[0]
        if not good:
            wrong.append((what, extra, done.returncode, done.stdout[-300:], done.stderr[-600:]))

    for command, arguments, extra in CASES:
        check(command, extra, ["-m", "bayespress", command, *arguments])
    for call, extra in FUNCTIONS.items():
        script = (
            "import bayespress, sys\n"
            f"try:\n    {call}\n"
            "except bayespress.MissingToolError as error:\n    print(error, file=sys.stderr); sys.exit(3)\n"
        )
        check(call, extra, ["-c", script])
    assert not wrong
