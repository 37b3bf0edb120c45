"""The exported network as others read it: its parameters, and its graph as ONNX with and without weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from ... import codec
from ...errors import CorruptFileError, InputError, reason_of
from ...optional import require
from .normalise import normalised
from .onnx_data import check_self_contained
from .onnx_optimise import optimised, quiet_exporters, rename_values

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.onnx import ONNXProgram

INPUT, OUTPUT = "input", "output"
_OWN_INPUT, _OWN_OUTPUT = "network:input", "network:output"


def load_program(path: Path) -> ExportedProgram:
    """The torch.export program in `path`; nothing of the file is run.

    Raises InputError when it is missing, CorruptFileError when it cannot be read or holds more than a network.
    """
    from .stored_program import read_program

    require("torch")
    if not path.is_file():
        raise InputError(f"There is no exported network at {path}; run `bayespress compress` again.")
    with quiet_exporters():
        return read_program(path)


def parameter_names(program: ExportedProgram) -> dict[str, str]:
    """Graph input name -> state-dict name, for every weight that the graph takes, in its order.

    Raises InputError for a network with several inputs or outputs.
    """
    from .normalise.refusals import check_one_of_each

    check_one_of_each(program.graph_signature)
    return dict(program.graph_signature.inputs_to_parameters)


def check_interface(program: ExportedProgram) -> None:
    """See that the network takes one float32 tensor of fixed shape and gives one. Raises InputError otherwise."""
    require("torch")
    import torch

    parameter_names(program)
    signature = program.graph_signature
    names = {"input": signature.user_inputs[0], "output": signature.user_outputs[0]}
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    for role, name in names.items():
        value = values.get(name) if isinstance(name, str) else name
        if not isinstance(value, torch.Tensor):
            what = "nothing" if value is None else f"a {type(value).__name__}"
            raise InputError(f"The network's {role} is {what}; one float32 tensor is supported.")
        if value.dtype != torch.float32:
            kind = str(value.dtype).removeprefix("torch.")
            raise InputError(f"The network's {role} is {kind}; one float32 tensor is supported, so convert it there.")
        if not all(isinstance(extent, int) for extent in value.shape):
            raise InputError(f"The network's {role} has shape {tuple(value.shape)}; export it with a fixed shape.")


def check_weights(program: ExportedProgram, tensors: Sequence[codec.Tensor]) -> None:
    """See that the `.bpz` holds just the network's weights. Raises InputError naming the first that differs."""
    found = {tensor.name: tuple(tensor.shape) for tensor in tensors}
    for name in parameter_names(program).values():
        expected = tuple(program.state_dict[name].shape)
        if name not in found:
            raise InputError(f"The .bpz has no tensor {name}, which the network has; compress again.")
        if found.pop(name) != expected:
            raise InputError(
                f"Tensor {name} of the .bpz is not of shape {expected}, as in the network; compress again."
            )
    if found:
        raise InputError(f"The .bpz holds tensor {min(found)}, which the network lacks; compress again.")


def onnx_graph(program: ExportedProgram) -> bytes:
    """The graph as ONNX without weights: they are inputs, named by their state-dict names, beside `input`.

    A weight that is itself called `input` or `output` is `parameter:input` or `parameter:output` there.
    """
    require("onnx")
    import onnx

    normal = normalised(program, whole=True)
    names = list(normal.names.values())
    model = onnx.load_from_string(_exported(normal.program, optimize=False))
    graph = model.graph
    rename_values(
        graph,
        {plain: _graph_name(name) for plain, name in normal.names.items()} | {_OWN_INPUT: INPUT, _OWN_OUTPUT: OUTPUT},
    )
    kept = [tensor for tensor in graph.initializer if tensor.name not in map(_graph_name, names)]
    # All of them, though the exporter leaves out those that nothing uses: what the .bpz holds, the graph takes.
    for name in names:
        shape = tuple(program.state_dict[name].shape)
        value = onnx.helper.make_tensor_value_info(_graph_name(name), onnx.TensorProto.FLOAT, shape)
        graph.input.append(value)
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]
    for node in graph.node:
        del node.metadata_props[:]  # stack traces and paths of the machine that exported
        node.doc_string = ""
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def fill_weights(graph: bytes, weights: Mapping[str, npt.NDArray[np.float32]]) -> bytes:
    """The ONNX graph with these weights as initializers, optimised as torch.onnx.export does; for any ONNX runtime.

    Raises InputError when a weight is missing, surplus or of another shape.
    """
    require("onnx")
    import onnx

    try:
        model = onnx.load_from_string(graph)
        check_self_contained(model)
        onnx.checker.check_model(model)
    except CorruptFileError:
        raise
    except Exception as error:  # protobuf's own error types differ between its implementations
        raise CorruptFileError("The graph is not a sound ONNX file; fetch or make it again.") from error
    left = {_graph_name(name): array for name, array in weights.items()}
    inputs = list(model.graph.input)
    del model.graph.input[:]
    for value in inputs:
        if value.name == INPUT:
            model.graph.input.append(value)
            continue
        shape = tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
        if value.name not in left:
            raise InputError(
                f"The .bpz has no tensor {value.name}, which the graph takes; they are not of one network."
            )
        array = left.pop(value.name)
        if array.shape != shape:
            raise InputError(f"Tensor {value.name} has shape {array.shape}, and the graph takes {shape}.")
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.ascontiguousarray(array), value.name))
    if left:
        raise InputError(
            f"The .bpz holds tensor {min(left)}, which the graph does not take; they are not of one network."
        )
    onnx.checker.check_model(model)
    try:
        better = optimised(model)
        onnx.checker.check_model(better)
        model = better
    except Exception:
        # Rules of onnxscript name a constant after the value beside it, and two of one name are one: so after several
        # pairs of maxima with vectors. A stranger's graph may make it raise anything. The graph itself is sound.
        pass
    return model.SerializeToString(deterministic=True)


def plain_onnx(program: ExportedProgram) -> bytes:
    """What torch.onnx.export makes of the program by default, weights and all."""
    return _exported(program, optimize=True)


def _exported(program: ExportedProgram, *, optimize: bool) -> bytes:
    """The program by torch.onnx.export, its input and output under names that no weight can have.

    Raises InputError for a network that the exporter does not take.
    """
    require("torch")
    import torch

    require("onnxscript")
    try:
        with quiet_exporters():
            exported = torch.onnx.export(
                program, input_names=[_OWN_INPUT], output_names=[_OWN_OUTPUT], optimize=optimize, dynamo=True,
                verbose=False,
            )  # fmt: skip
            return cast("ONNXProgram", exported).model_proto.SerializeToString()
    except Exception as error:
        # The exporter wraps what its parts raise, of any type, in pages of advice; the first cause names the operator.
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise InputError(
            f"The network cannot be exported to ONNX ({reason_of(cause)}); replace the layer or operator it names."
        ) from error


def _graph_name(weight: str) -> str:
    """What a weight is called in the graph."""
    return f"parameter:{weight}" if weight in (INPUT, OUTPUT) else weight
