"""`bayespress decode`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .console import JsonFlag, print_json, show, size

_FORMATS = (".safetensors", ".npz", ".onnx")


def decode(
    path: Annotated[Path, typer.Argument(help="A .bpz file, or a bundle or packed directory that holds one.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: *.safetensors, *.npz or *.onnx.")],
    as_json: JsonFlag = False,
) -> None:
    """Decode a .bpz file into plain float32 tensors, or into an ONNX model that ONNX Runtime runs.

    Example: [bold]bayespress decode lenet.bundle -o lenet.onnx[/]

    ONNX needs the graph, so it takes a bundle or a packed directory; the other two take a bare .bpz as well.
    """
    from .. import codec
    from ..deploy.weights import weights_of
    from ..files import replacing_file, write_bytes

    if out.suffix not in _FORMATS:
        raise InputError(f"{out} ends in {out.suffix or 'nothing'!r}; name a file that ends in {', '.join(_FORMATS)}.")
    if out.suffix == ".onnx":
        from ..deploy.export import bundled_onnx

        write_bytes(out, bundled_onnx(path))
    else:
        tensors = {tensor.name: tensor.values() for tensor in codec.decode(weights_of(path))}
        with replacing_file(out) as temporary:
            if out.suffix == ".npz":
                import numpy as np

                np.savez_compressed(temporary, **tensors)  # type: ignore[arg-type]
            else:
                from safetensors.numpy import save_file

                save_file(tensors, temporary)
    if as_json:
        print_json({"path": str(out), "bytes": out.stat().st_size})
    else:
        show(f"{out}: {size(out.stat().st_size)}")
