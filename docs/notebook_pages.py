"""Notebooks as pages of the site: each is executed and becomes Markdown, so that links, search and mathematics work.

Not mkdocs-jupyter: its pages fetch MathJax from another host, and its cache does not see that the package changed.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path, PurePosixPath

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from traitlets.config import Config

_SECONDS_A_CELL = 300


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put a page and its pictures in the place of each notebook (mkdocs calls this by its name)."""
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        files.remove(notebook)
        place = PurePosixPath(notebook.src_uri)
        text, pictures = page(Path(notebook.abs_src_path or "").read_text(), place.stem)
        files.append(File.generated(config, str(place.with_suffix(".md")), content=text))
        for name, picture in pictures.items():
            files.append(File.generated(config, str(place.parent / name), content=picture))
    return files


def on_page_markdown(text: str, **_: object) -> str:
    """Let links to a notebook, as they are right on GitHub, lead to its page (mkdocs calls this by its name)."""
    return re.sub(r"(\]\([^)\s]+)\.ipynb", r"\1.md", text)


@functools.cache  # `mkdocs serve` builds again whenever a file is saved
def page(source: str, stem: str) -> tuple[str, dict[str, bytes]]:
    """A notebook's page in Markdown, and its pictures by their path beside it."""
    return markdown(executed(source), stem)


def executed(source: str) -> nbformat.NotebookNode:
    """The notebook with its outputs. Raises CellExecutionError with the cell that failed."""
    notebook = nbformat.reads(source, as_version=4)
    local = Config(KernelManager={"transport": "ipc"})  # sockets of the file system, that no other user can read
    NotebookClient(notebook, config=local, timeout=_SECONDS_A_CELL, kernel_name="python3").execute()
    return notebook


def markdown(notebook: nbformat.NotebookNode, stem: str) -> tuple[str, dict[str, bytes]]:
    """An executed notebook in Markdown, and its pictures by their path, which begins with `stem`."""
    text, resources = MarkdownExporter().from_notebook_node(notebook, {"unique_key": stem, "output_files_dir": stem})
    text = re.sub(r"^!\[\w+\]", "![What the cell above draws]", text, flags=re.MULTILINE)
    return text, resources["outputs"]
