"""`bayespress inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import JsonFlag, print_json, show, size, table

if TYPE_CHECKING:
    from rich.table import Table

    from ..codec.layout import FileLayout


def inspect(
    path: Annotated[Path, typer.Argument(help="A .bpz file, or a bundle or packed directory that holds one.")],
    as_json: JsonFlag = False,
) -> None:
    """Show where each byte of a .bpz file goes, by tensor and by stream.

    Example: [bold]bayespress inspect lenet.bpz[/]
    """
    from .. import codec
    from ..deploy.weights import weights_of

    layout = codec.layout(weights_of(path))
    if as_json:
        print_json(layout.as_dict())
    else:
        show(tensors_table(layout), streams_table(layout))


def tensors_table(layout: FileLayout) -> Table:
    """One row a tensor."""
    rows = [
        (
            tensor.name,
            "x".join(str(extent) for extent in tensor.shape) or "scalar",
            tensor.kind,
            tensor.entries,
            f"{tensor.nonzero:,}",
            f"{100 * tensor.nonzero / tensor.count:.1f} %" if tensor.count else "",
            tensor.index_bits,
            f"{tensor.bytes:,.1f}",
            f"{8 * tensor.bytes / tensor.nonzero:.2f}" if tensor.nonzero else "",
        )
        for tensor in layout.tensors
    ]
    columns = ("tensor", "shape", "values", "layout", "non-zero", "density", "p", "bytes", "bits/weight")
    return table(f"{size(layout.size)} in {len(layout.tensors)} tensors", columns, rows)


def streams_table(layout: FileLayout) -> Table:
    """One row a kind of stream, over all tensors."""
    rows = [(name, f"{count:,.1f}", f"{100 * count / layout.size:.1f} %") for name, count in layout.by_stream().items()]
    return table("by stream", ("stream", "bytes", "share"), [*rows, ("total", f"{layout.size:,}", "100.0 %")])
