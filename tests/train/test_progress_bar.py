"""The bar: in a real Jupyter kernel, on a terminal, and nowhere else."""

from __future__ import annotations

import sys

import nbformat
import pytest
from nbclient import NotebookClient

from bayespress.train.progress_bar import is_notebook, progress_bar

SETUP = """
import torch, bayespress
from torch.utils.data import DataLoader, TensorDataset
x = torch.randn(200, 4)
loader = DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=10)
net = bayespress.bayesianize(torch.nn.Linear(4, 2))
"""


@pytest.mark.slow
def test_a_notebook_shows_a_bar_with_the_figures_of_the_epoch_unless_none_is_wanted():
    lines = (SETUP, "bayespress.fit(net, loader, loader, epochs=2);", "bayespress.fit(net, loader, progress=False);")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in lines])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    with_bar, without = (
        "".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in cell.outputs)
        for cell in notebook.cells[1:]
    )
    for shown in ("Epoch 1: 100%", "20/20", "error=", "nll="):
        assert shown in with_bar
    assert "Epoch" not in without


def test_no_bar_where_nobody_watches(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    assert not is_notebook()
    assert progress_bar(None) is None
    assert type(progress_bar(True)).__name__ == "RichProgressBar"


def test_a_terminal_has_one_unless_none_is_wanted(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert progress_bar(None) is not None
    assert progress_bar(False) is None
