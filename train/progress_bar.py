"""The bar that shows an epoch's progress, on a terminal and in a notebook."""

from __future__ import annotations

import sys

from lightning.pytorch.callbacks import ProgressBar, RichProgressBar, TQDMProgressBar


def is_notebook() -> bool:
    """Whether this process is a Jupyter kernel, whose standard output is shown in a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


def progress_bar(wanted: bool | None) -> ProgressBar | None:
    """The bar, or None; `wanted` None decides by whether somebody watches: on a terminal and in a notebook.

    A notebook gets TQDM's bar: it is a widget where ipywidgets is installed, and text elsewhere. Rich's moves the
    cursor of a terminal, and without ipywidgets shows nothing in a notebook but a warning.
    """
    notebook = is_notebook()
    if not (notebook or sys.stdout.isatty() if wanted is None else wanted):
        return None
    return TQDMProgressBar(leave=False) if notebook else RichProgressBar(leave=False)
