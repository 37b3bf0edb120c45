"""Opening what was compressed or built, to use it in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .. import codec
from ..errors import InputError
from ..files import check_input, read_bytes
from ..packed_format import NETWORK, RECORD, WEIGHTS, PackedRecord

Floats: TypeAlias = npt.NDArray[np.float32]
LoadedWeights: TypeAlias = dict[str, Floats]


class LoadedNetwork:
    """A network that is called on a batch of inputs.

    name          of the network
    runs_on       what computes it: "compiled code", "ONNX Runtime" or "PyTorch"
    input_shape   of one example, without the batch axis
    output_shape  of one example, without the batch axis
    labels        of the outputs; may be empty
    """

    def __init__(
        self,
        run: Callable[[Floats], Floats],
        runs_on: str,
        *,
        name: str,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        labels: tuple[str, ...],
    ) -> None:
        """run  gives the output (outputs,) of one example (*input_shape), contiguous float32."""
        self._run = run
        self.runs_on = runs_on
        self.name = name
        self.input_shape, self.output_shape, self.labels = input_shape, output_shape, labels

    def __call__(self, inputs: npt.ArrayLike) -> Floats:
        """Outputs (n, *output_shape) of inputs (n, *input_shape). Raises InputError for another shape."""
        examples = np.ascontiguousarray(inputs, np.float32)
        if examples.shape[1:] != self.input_shape or examples.ndim != len(self.input_shape) + 1:
            expected = ", ".join(str(extent) for extent in ("n", *self.input_shape))
            raise InputError(f"The inputs have the shape {examples.shape}; {self.name} takes ({expected}).")
        outputs = np.empty((len(examples), *self.output_shape), np.float32)
        for example, output in zip(examples, outputs, strict=True):
            output[...] = self._run(example).reshape(self.output_shape)
        return outputs

    def __repr__(self) -> str:
        return f"LoadedNetwork({self.name}: {self.input_shape} -> {self.output_shape}, {self.runs_on})"


def loaded(path: Path) -> LoadedNetwork | LoadedWeights:
    """See api.load."""
    from ..deploy.bundle.weights import is_bundle

    check_input(path, ".bpz file, packed directory or bundle")
    if (path / RECORD).is_file():
        return _packed(path)
    if is_bundle(path):
        return _bundle(path)
    data = read_bytes(path, ".bpz file", magic=b"BPZ")
    return {tensor.name: tensor.values() for tensor in codec.decode(data)}


def _packed(path: Path) -> LoadedNetwork:
    """The shrunk network of a packed directory, in PyTorch."""
    from ..deploy.program.export import check_weights, load_program
    from ..deploy.verify.sessions import program_function
    from ..optional import require

    require("torch")
    import torch

    record, program = PackedRecord.read(path), load_program(path / NETWORK)
    check_weights(program, codec.decode(read_bytes(path / WEIGHTS, "weights file")))
    function = program_function(program)

    def run(example: Floats) -> Floats:
        with torch.inference_mode():
            outputs: Floats = function(torch.from_numpy(example[None].copy())).numpy()
        return outputs

    return LoadedNetwork(
        run, "PyTorch", name=record.name, input_shape=record.input_shape, output_shape=record.output_shape,
        labels=record.labels,
    )  # fmt: skip


def _bundle(path: Path) -> LoadedNetwork:
    """The compiled network of a bundle if it is built for this machine, else its graph in ONNX Runtime."""
    from ..deploy.bundle.format import GRAPH, opened
    from ..deploy.program.export import fill_weights
    from ..deploy.verify.sessions import CompiledNetwork, onnx_failures, onnx_outputs, onnx_session
    from ..errors import CorruptFileError

    with opened(path) as bundle:
        if difference := bundle.first_difference():
            raise CorruptFileError(difference)
        manifest, weights = bundle.manifest, bundle.read(WEIGHTS)
        host = manifest.targets.get("host")
        if host is not None and host.library is not None:
            network = CompiledNetwork(bundle.folder / host.library, weights)  # stays mapped when the folder is gone

            def run(example: Floats) -> Floats:
                return network.run(example)

            runs_on = "compiled code"
        else:
            session = onnx_session(
                fill_weights(bundle.read(GRAPH), {tensor.name: tensor.values() for tensor in codec.decode(weights)})
            )

            def run(example: Floats) -> Floats:
                with onnx_failures():
                    return onnx_outputs(session, example[None])

            runs_on = "ONNX Runtime"
    return LoadedNetwork(
        run, runs_on, name=manifest.name, input_shape=manifest.input_shape, output_shape=manifest.output_shape,
        labels=manifest.labels,
    )  # fmt: skip
