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
_PRODUCER = "bayespress decode"  # written into each file; only a file with this mark may be overwritten


def decode(
    path: Annotated[Path, typer.Argument(help="A .bpz file, or a bundle or packed directory that contains one.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: *.safetensors, *.npz or *.onnx.")],
    overwrite: Overwrite = False,
    as_json: JsonFlag = False,
) -> None:
    """Decode a .bpz file into float32 tensors (.safetensors, .npz) or into a complete ONNX model.

    Example: [bold]bayespress decode lenet.bundle -o lenet.onnx[/]

    ONNX needs the graph, so it requires a bundle or a packed directory. The other formats also accept a bare .bpz.
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
    """The kind of a decoded file: a file of this format with the mark of `decode`, so never the original weights."""
    from ..outputs import Kind

    has_mark = {".npz": _npz_has_mark, ".onnx": _onnx_has_mark, ".safetensors": _safetensors_has_mark}[suffix]

    def difference(path: Path) -> str | None:
        return None if has_mark(path) else "`bayespress decode` did not write it"

    return Kind(f"a decoded {suffix} file", False, difference)


def _write_npz(path: Path, tensors: Mapping[str, npt.NDArray[np.float32]]) -> None:
    """Write an .npz file with the mark as the comment of the zip archive. Every name in a .bpz is valid here."""
    import numpy as np

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = _PRODUCER.encode()
        for name, values in tensors.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(values).reshape(values.shape))


def _npz_has_mark(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return archive.comment == _PRODUCER.encode()


def _write_safetensors(path: Path, tensors: Mapping[str, npt.NDArray[np.float32]]) -> None:
    from safetensors.numpy import save_file

    save_file(dict(tensors), path, metadata={"format": "pt", "producer": _PRODUCER})


def _safetensors_has_mark(path: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return bool((file.metadata() or {}).get("producer") == _PRODUCER)
    except SafetensorError:
        return False


def _onnx_producer() -> bytes:
    """Encoded field 2 (producer_name) of an ONNX ModelProto, to append: protobuf uses the last value of a field."""
    name = _PRODUCER.encode()
    return bytes([2 << 3 | 2, len(name)]) + name


def _onnx_has_mark(path: Path) -> bool:
    with path.open("rb") as stream:
        mark = _onnx_producer()
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - len(mark)))
        return stream.read() == mark
