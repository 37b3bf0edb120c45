"""`bayespress inspect`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import JsonFlag, print_json, show, size, table

if TYPE_CHECKING:
    from rich.table import Table

    from ..codec import HanSizes
    from ..codec.layout import FileLayout


def inspect(
    path: Annotated[Path, typer.Argument(help="A .bpz file, or a bundle or packed directory that contains one.")],
    han: Annotated[
        bool,
        typer.Option("--han", help="Also show the size of the weights in the storage scheme of Han et al. (2016)."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show the size of a .bpz file by tensor and by stream.

    Example: [bold]bayespress inspect lenet.bpz[/]

    With --han a second table compares the file with appendix A of the soft weight-sharing paper (Ullrich et al. 2017):
    r_p of its equation 9, and the bytes of each matrix as compressed sparse rows, with tight row pointers (A.1), with
    relative column indices (A.2), with a codebook (A.3), and with Huffman coding.
    """
    from .. import codec
    from ..deploy.bundle.weights import weights_of

    data = weights_of(path)
    layout = codec.layout(data)
    sizes = codec.han_sizes(codec.decode(data)) if han else []
    if as_json:
        print_json(layout.as_dict() | ({"han": [asdict(matrix) for matrix in sizes]} if han else {}))
    else:
        show(tensors_table(layout), streams_table(layout), *([han_table(sizes)] if han else []))


def tensors_table(layout: FileLayout) -> Table:
    """One row per tensor."""
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
    """One row per kind of stream, summed over all tensors."""
    rows = [(name, f"{count:,.1f}", f"{100 * count / layout.size:.1f} %") for name, count in layout.by_stream().items()]
    return table("by stream", ("stream", "bytes", "share"), [*rows, ("total", f"{layout.size:,}", "100.0 %")])


def han_table(sizes: Sequence[HanSizes]) -> Table:
    """One row per matrix and one for the total; bytes at each stage of the scheme."""
    rows = [
        (matrix.name, f"{matrix.index_bits}", f"{matrix.fillers:,}", f"{matrix.rate:.1f}", *_stages([matrix]))
        for matrix in sizes
    ]
    if sizes:  # the scheme covers only matrices, and a file may hold only vectors
        rows.append(("total", "", f"{sum(matrix.fillers for matrix in sizes):,}", "", *_stages(sizes)))
    columns = ("matrix", "p", "fillers", "r_p", "float32", "sparse rows", "A.1", "A.2", "A.3", "Huffman", "ratio")
    return table("as Han et al. would store them, bytes", columns, rows)


def _stages(sizes: Sequence[HanSizes]) -> list[str]:
    from ..codec.han import STAGES

    bits = [sum(getattr(matrix, stage) for matrix in sizes) for stage in STAGES]
    return [f"{count / 8:,.1f}" for count in bits] + [f"{bits[0] / bits[-1]:.1f}"]
