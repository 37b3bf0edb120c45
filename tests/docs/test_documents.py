"""What the documents tell a reader to type works as it stands."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import markdown
import pytest
import typer.main

from bayespress.cli.app import app

ROOT = Path(__file__).parents[2]


def quick_start() -> str:
    """The Python block under the README's heading `Quick start`."""
    match = re.search(r"^## Quick start$.*?^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    assert match is not None
    return match[1]


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_quick_start_is_fifteen_lines():
    assert len([line for line in quick_start().splitlines() if line.strip()]) == 15


@pytest.mark.slow
def test_quick_start_runs_as_it_stands(tmp_path: Path):
    done = subprocess.run([sys.executable, "-c", quick_start()], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "0 failed" in done.stdout
    assert all(len(line) < 200 for line in done.stdout.splitlines())  # reports show themselves in a line
    assert 0 < (tmp_path / "digits.bpz").stat().st_size < 20_000  # 6,400 weights in float32 take 25,600


def test_commands_page_lists_every_option():
    hooks = runpy.run_path(str(ROOT / "docs/hooks.py"))
    page, group = hooks["commands_page"](), typer.main.get_command(app)
    assert "a [search] table" in page  # brackets that Rich would take for markup are escaped in the help
    for name, command in group.commands.items():
        assert f"## bayespress {name}\n" in page
        assert all(
            f"`{spelling}`" in page for option in command.params for spelling in option.opts if spelling[0] == "-"
        )


def test_links_between_documents_lead_somewhere():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            generated = page.parent / link == ROOT / "docs/reference/commands.md"
            assert "://" in link or generated or (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.mark.parametrize("name", ["signal-to-noise.svg", "grid-steps.svg", "rate.svg"])
def test_figures_are_what_their_script_draws(name: str):
    """After a change of the codec or of a formula `python docs/figures.py` draws them anew."""
    figures = runpy.run_path(str(ROOT / "docs/figures.py"))
    assert figures["drawn"](name) == (ROOT / "docs/explanation" / name).read_text()
    assert f"({name})" in (ROOT / "docs/explanation/posterior-to-bits.md").read_text()


def test_mathematics_becomes_mathml():
    """Of every page with mathematics, in the steps in which the site does it."""
    convert = runpy.run_path(str(ROOT / "docs/mathml.py"))["on_page_content"]
    found = 0
    for page in sorted((ROOT / "docs").rglob("*.md")):
        if "$$" not in page.read_text():
            continue
        extensions: dict[str, dict[str, object]] = {
            "pymdownx.arithmatex": {"generic": True},
            "pymdownx.superfences": {},
        }
        content = convert(markdown.markdown(page.read_text(), extensions=[*extensions], extension_configs=extensions))
        assert "arithmatex" not in content
        assert "$" not in re.sub(r"<code>.*?</code>", "", content, flags=re.DOTALL)
        assert "\\" not in re.sub(r"<code>.*?</code>", "", content, flags=re.DOTALL), "a command that was not converted"
        numbers = re.findall(r'id="equation-(\d+)"', content)
        assert numbers == sorted(numbers)
        found += content.count("<math")
    assert found > 10
