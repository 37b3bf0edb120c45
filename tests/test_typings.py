"""Types: stubs of packages without types of their own say what is there, and little of deploy is of type Any."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STUBS = ROOT / "typings"
MOST_ANY = 5.0  # percent of all expressions of deploy

# What stubtest says of every class of TVM and of pybind11, whose metaclasses, slots and constructors in C++ no stub can
# show; a constructor that a stub does declare is compared.
_OF_EVERY_CLASS = re.compile(
    r"is inconsistent, metaclass differs$"
    r"|is read-only at runtime but not in the stub$"
    r"|\.__init__ is inconsistent, stub does not have "
)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_stubs_agree_with_the_packages(tmp_path):
    """Each name, parameter and default of the stubs is as it is in the installed package."""
    config = tmp_path / "mypy.ini"
    config.write_text(f"[mypy]\nmypy_path = {STUBS}\n[mypy-torch.*,numpy.*]\nfollow_imports = skip\n")
    packages = sorted(folder.name for folder in STUBS.iterdir() if folder.is_dir())
    assert packages
    command = [
        sys.executable,
        "-m",
        "mypy.stubtest",
        "--ignore-missing-stub",
        "--concise",
        "--mypy-config-file",
        config,
    ]
    run = subprocess.run([*command, *packages], cwd=tmp_path, capture_output=True, text=True, check=False)
    lines = run.stdout.splitlines()
    assert any(_OF_EVERY_CLASS.search(line) for line in lines), run.stderr  # stubtest looked at them
    assert [line for line in lines if not _OF_EVERY_CLASS.search(line)] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_little_of_deploy_is_of_type_any(tmp_path):
    (tmp_path / "bayespress").symlink_to(ROOT)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        ROOT / "pyproject.toml",
        "--cache-dir",
        tmp_path / "cache",
    ]
    command += ["--any-exprs-report", tmp_path, "-p", "bayespress.deploy"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    rows = [row.split() for row in (tmp_path / "any-exprs.txt").read_text().splitlines()]
    counts = {row[0]: (int(row[1]), int(row[2])) for row in rows if len(row) == 4 and row[1].isdigit()}
    of_any, expressions = counts.pop("Total")
    assert expressions > 30_000  # all of deploy
    worst = sorted(counts.items(), key=lambda each: -each[1][0])[:5]
    assert 100 * of_any / expressions < MOST_ANY, f"{of_any} of {expressions} expressions, most in {worst}"
