"""The notebooks run as a reader runs them, and become pages of the site."""

from __future__ import annotations

import resource
import runpy
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
LONGEST = 60  # seconds of one core

by_name = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def seconds_of_children() -> float:
    """Processor time of the processes that ended: of kernels, and not of what else this machine does."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@by_name
def test_stored_without_outputs(notebook: Path):
    cells = code_cells(nbformat.read(notebook, as_version=4))
    assert len(cells) > 5
    assert not any(cell.outputs or cell.execution_count for cell in cells)


@by_name
@pytest.mark.slow
def test_runs_and_becomes_a_page(notebook: Path):
    """Its assertions hold, it warns of nothing, and what it draws comes out as pictures that the page shows."""
    pages = runpy.run_path(str(ROOT / "docs/notebook_pages.py"))
    before = seconds_of_children()
    ran = pages["executed"](notebook.read_text())
    assert 0 < seconds_of_children() - before < LONGEST
    shown = [output for cell in code_cells(ran) for output in cell.outputs]
    assert not [output.text for output in shown if output.output_type == "stream" and output.name == "stderr"]
    assert any("assert " in cell.source for cell in code_cells(ran))

    text, pictures = pages["markdown"](ran, notebook.stem)
    assert "it/s" not in text, "a progress bar leaves a line for each step on the page"
    assert pictures
    for name, content in pictures.items():
        assert f"({name})" in text
        assert content.startswith(b"\x89PNG")


def test_a_failing_cell_is_an_error():
    pages = runpy.run_path(str(ROOT / "docs/notebook_pages.py"))
    broken = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 2 + 2 == 5")])
    with pytest.raises(CellExecutionError, match="2 \\+ 2 == 5"):
        pages["executed"](nbformat.writes(broken))
