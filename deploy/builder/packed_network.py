"""Reading a packed directory. All of its files are checked before anything is built from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ... import codec
from ...errors import CorruptFileError, InputError
from ...files import read_bytes
from ...packed_format import GOLDEN, NETWORK, WEIGHTS, PackedRecord
from ..compile.layers import Stored

if TYPE_CHECKING:
    from torch.export import ExportedProgram


@dataclass(frozen=True)
class PackedNetwork:
    """The contents of a packed directory.

    record   description of the network and of its compression
    weights  bytes of the `.bpz` file
    tensors  the decoded weights
    program  the exported network, loaded without its weights
    inputs   golden inputs of shape (n, ...)
    outputs  the outputs that PyTorch computed for them, of shape (n, ...)
    """

    record: PackedRecord
    weights: bytes
    tensors: Sequence[codec.Tensor]
    program: ExportedProgram
    inputs: npt.NDArray[np.float32]
    outputs: npt.NDArray[np.float32]

    @classmethod
    def read(cls, packed: Path, described: Mapping[str, Any]) -> PackedNetwork:
        """Read the directory `packed`.

        described  fields of its record to replace

        Raises InputError if it is incomplete or inconsistent, CorruptFileError if one of its files is damaged.
        """
        from ..program.export import check_interface, check_weights, load_program

        record = PackedRecord.read(packed).model_copy(update=dict(described))
        weights = read_bytes(packed / WEIGHTS, "weights file")
        inputs, outputs = _golden(packed, record)
        program = load_program(packed / NETWORK)
        check_interface(program)
        tensors = codec.decode(weights)
        check_weights(program, tensors)
        return cls(record, weights, tensors, program, inputs, outputs)

    def values(self) -> dict[str, npt.NDArray[np.float32]]:
        """The weights as float32, by name."""
        return {tensor.name: tensor.values() for tensor in self.tensors}


def stored_weights(tensors: Sequence[codec.Tensor]) -> dict[str, Stored]:
    """The tensors of a `.bpz` that can be decoded to sparse rows, by name, with their storage type on the device."""
    stored = {}
    for tensor in tensors:
        if isinstance(tensor, codec.QuantizedTensor):
            fits_in_byte = tensor.levels.size > 0 and tensor.levels.min() >= -128 and tensor.levels.max() <= 127
            byte_type = "int8" if isinstance(tensor.value_map, codec.Grid) else "uint8"
            kind = byte_type if fits_in_byte else "float32"
            stored[tensor.name] = Stored(int(np.count_nonzero(tensor.levels)), kind)
    return stored


def _golden(packed: Path, record: PackedRecord) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Golden inputs and outputs, checked against the record."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = packed / GOLDEN
    if not path.is_file():
        raise InputError(f"There are no golden vectors at {path}; compress again.")
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CorruptFileError(f"{path} is not a whole safetensors file ({error}); compress again.") from None
    for name, shape in (("input", record.input_shape), ("output", record.output_shape)):
        array = arrays.get(name)
        if array is None or array.dtype != np.float32 or array.shape[1:] != shape or len(array) == 0:
            raise InputError(f"{path} has no float32 `{name}` of shape (n, {str(shape)[1:-1]}); compress again.")
        if not np.isfinite(array).all():
            raise InputError(f"The golden {name} in {path} holds NaN or infinite values; correct the network first.")
    if len(arrays["input"]) != len(arrays["output"]):
        raise InputError(
            f"{path} has {len(arrays['input'])} inputs and {len(arrays['output'])} outputs; compress again."
        )
    return arrays["input"], arrays["output"]
