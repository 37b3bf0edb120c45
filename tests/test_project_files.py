"""The files about the project are consistent."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import bayespress

ROOT = Path(__file__).parent.parent


def test_the_version_is_the_same_everywhere():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "bayespress._version.__version__"}
    citation = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert citation is not None
    assert citation[1] == bayespress.__version__


def test_every_package_is_listed():
    """A folder with Python files that pyproject.toml does not list would be missing from the wheel."""
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    foreign = {"tests", "benchmarks", "docs", "android_demo", "build"}
    folders = {path.parent.relative_to(ROOT) for path in ROOT.rglob("__init__.py")}
    found = {".".join(("bayespress", *folder.parts)) for folder in folders if not foreign & set(folder.parts)}
    assert {name for name in found if ".venv" not in name} == listed


def test_continuous_integration_calls_the_readme_s_commands():
    script = (ROOT / ".ci" / "run").read_text()
    for command in ("make test", "make demo"):
        assert command in script
        assert command in (ROOT / "README.md").read_text()


@pytest.mark.xdist_group("project-files")
def test_workers_see_the_groups_of_tests(request):
    """A group runs on one worker, so that it makes what its tests share once; pytest-xdist marks it in the names."""
    grouped = getattr(request.config.option, "loadgroup", False)
    assert request.node.nodeid.endswith("@project-files") == grouped
