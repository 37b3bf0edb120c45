"""`bayespress decode`."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError
from .console import JsonFlag, Overwrite, print_json, show, size

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ..outputs import Kind

_FORMATS = (".safetensors", ".npz", ".onnx")
_PRODUCER = "bayespress decode"  # in each file, so that a later decode may replace it


def decode(
    path: Annotated[Path, typer.Argument(help="A .bpz file, or a bundle or packed directory that holds one.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: *.safetensors, *.npz or *.onnx.")],
    overwrite: Overwrite = False,
    as_json: JsonFlag = False,
) -> None:
    """Decode a .bpz file into plain float32 tensors, or into an ONNX model that ONNX Runtime runs.

    Example: [bold]bayespress decode lenet.bundle -o lenet.onnx[/]

    ONNX needs the graph, so it takes a bundle or a packed directory; the other two take a bare .bpz as well.
    """
    from .. import codec
    from ..deploy.bundle.weights import weights_of
    from ..files import check_input
    from ..outputs import claimed, output_file

    if out.suffix not in _FORMATS:
        raise InputError(f"{out} ends in {out.suffix or 'nothing'!r}; name a file that ends in {', '.join(_FORMATS)}.")
    check_input(path, ".bpz file, packed directory or bundle")
    kind = decoded_kind(out.suffix)
    with (
        claimed([(out, kind)], overwrite=overwrite, inputs=(path,)),
        output_file(out, kind, overwrite=overwrite, inputs=(path,)) as temporary,
    ):
        if out.suffix == ".onnx":
            from ..deploy.bundle.onnx import bundled_onnx

            temporary.write_bytes(bundled_onnx(path) + _onnx_producer())
        else:
            tensors = {tensor.name: tensor.values() for tensor in codec.decode(weights_of(path))}
            (_write_npz if out.suffix == ".npz" else _write_safetensors)(temporary, tensors)
    if as_json:
        print_json({"path": str(out), "bytes": out.stat().st_size})
    else:
        show(f"{out}: {size(out.stat().st_size)}")


def decoded_kind(suffix: str) -> Kind:
    """The kind of a decoded file: one of this format that carries our mark, so never the original weights."""
    from ..outputs import Kind

    of = {".npz": _is_our_npz, ".onnx": _is_our_onnx, ".safetensors": _is_our_safetensors}[suffix]

    def difference(path: Path) -> str | None:
        return None if of(path) else "`bayespress decode` did not write it"

    return Kind(f"a decoded {suffix} file", False, difference)


def _write_npz(path: Path, tensors: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """An .npz file; our mark is the comment of the zip archive. Any name that a .bpz has is taken."""
    import numpy as np

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = _PRODUCER.encode()
        for name, values in tensors.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(values).reshape(values.shape))


def _is_our_npz(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return archive.comment == _PRODUCER.encode()


def _write_safetensors(path: Path, tensors: Mapping[str, npt.NDArray[np.float32]]) -> None:
    from safetensors.numpy import save_file

    save_file(dict(tensors), path, metadata={"format": "pt", "producer": _PRODUCER})


def _is_our_safetensors(path: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return bool((file.metadata() or {}).get("producer") == _PRODUCER)
    except SafetensorError:
        return False


def _onnx_producer() -> bytes:
    """Field 2 of an ONNX ModelProto, producer_name; in protobuf's encoding the last value of a field holds."""
    name = _PRODUCER.encode()
    return bytes([2 << 3 | 2, len(name)]) + name


def _is_our_onnx(path: Path) -> bool:
    with path.open("rb") as stream:
        mark = _onnx_producer()
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - len(mark)))
        return stream.read() == mark
