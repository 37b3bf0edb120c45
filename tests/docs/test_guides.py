"""Everything that the guides tell a reader to type is run, in the order of the page, and works.

The first guide makes a run, a packed directory and a bundle. Each other guide gets a copy of its folder, in which the
folders of a clone that guides name lie too. A block with a title is the file of that name.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main
from markdown_it import MarkdownIt

from bayespress.cli.app import app

ROOT = Path(__file__).parents[2]
FIRST = ROOT / "docs/how-to/command-line.md"
GUIDES = sorted((ROOT / "docs/how-to").glob("*.md"))
OF_A_CLONE = ("codec/c", "docs/examples", "android_demo")

# What a command has in it that cannot be run here, and what it would need.
NEEDS = {
    "-d adb": "a phone",
    "phone.json": "what `bench` measured on the phone",
    "ssh://": "a board",
    "board.json": "what `bench` measured on the board",
    "rpc://": "a tracker of TVM",
}

# The environment of a reader who has activated the virtual environment, as README says.
ACTIVATED = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

pytestmark = [pytest.mark.xdist_group("guides"), pytest.mark.timeout(900)]


def blocks(page: Path) -> list[tuple[str, str, int]]:
    """Code blocks: language with what follows it, text, and the line of the page that it begins on."""
    tokens = MarkdownIt().parse(page.read_text())
    return [(token.info, token.content, token.map[0] + 2) for token in tokens if token.type == "fence" and token.map]


def commands(text: str) -> list[str]:
    """The commands of a shell block, those over several lines as one."""
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def runnable(command: str) -> bool:
    return not any(mark in command for mark in NEEDS)


def follow(page: Path, folder: Path) -> None:
    """Do what a page says, in `folder`, which is the working directory."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for info, text, line in blocks(page):
        language, _, rest = info.partition(" ")
        title = re.search(r'title="(.+?)"', rest)
        if title:
            (folder / title[1]).write_text(text)
        elif language == "python":
            exec(compile("\n" * (line - 1) + text, str(page), "exec"), names)
        elif language == "sh":
            for command in filter(runnable, commands(text)):
                done = subprocess.run(
                    ["bash", "-c", command], cwd=folder, env=ACTIVATED, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, f"{page.name}: {command}\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="session")
def after_first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reader who has followed the first guide."""
    folder = tmp_path_factory.mktemp("reader")
    for name in OF_A_CLONE:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("build", ".gradle", "*.o"))
    follow(FIRST, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("guide", [guide for guide in GUIDES if guide != FIRST], ids=lambda path: path.stem)
def test_guide_works_as_it_stands(guide, after_first, tmp_path, monkeypatch):
    folder = tmp_path / "reader"
    shutil.copytree(after_first, folder)
    monkeypatch.chdir(folder)
    follow(guide, folder)


def shell_commands(page: Path) -> list[str]:
    return [line for info, text, _ in blocks(page) if info == "sh" for line in commands(text)]


def every_command() -> list[str]:
    return [command for guide in GUIDES for command in shell_commands(guide)]


def test_commands_that_are_not_run_are_spelt_rightly():
    """Their options exist; and nothing is excepted that no guide has."""
    left_out = [command for command in every_command() if not runnable(command)]
    for mark in NEEDS:
        assert any(mark in command for command in left_out), mark
    group: Any = typer.main.get_command(app)
    for command in left_out:
        program, name, *arguments = shlex.split(command, comments=True)
        assert program == "bayespress"
        job = group.commands[name]
        job.make_parser(click.Context(job)).parse_args(arguments)


def test_the_readme_s_commands_stand_in_a_guide():
    """There they are run. What installs, and make's own goals, are run by continuous integration."""
    spelt = {" ".join(shlex.split(command, comments=True)) for command in every_command()}
    shown = shell_commands(ROOT / "README.md")
    used = [line for line in shown if line.startswith("bayespress ")]
    assert len(used) > 5
    for command in used:
        assert " ".join(shlex.split(command, comments=True)) in spelt
    assert all(line.startswith(("bayespress ", "make ", "python3 -m venv", "pip install")) for line in shown)
