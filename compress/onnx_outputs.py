"""The error that rounded weights cause in the outputs of an ONNX model, measured in ONNX Runtime on random inputs.

For each output y of the model, y^ with rounded weights, over all drawn inputs x,

    (1)  error = sqrt(sum_x |y^(x) - y(x)|^2 / sum_x |y(x)|^2).

The error of the model is the largest over its outputs. For integer outputs (classes, indices) it is the share of
elements that differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import reason_of
from ..text import printable

if TYPE_CHECKING:
    import onnx

_Array = NDArray[np.generic]
# Extents to try for axes of variable extent: (batch axis, other axes). Kernels may need larger inputs.
_EXTENTS = ((4, 1), (1, 1), (4, 16), (1, 16), (1, 64), (1, 224))
_DRAWS = 3
_TYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int16)": np.int16, "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8, "tensor(uint16)": np.uint16, "tensor(uint32)": np.uint32, "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
}  # fmt: skip


class NotMeasuredError(Exception):
    """The model's outputs cannot be measured; the message is a clause with the reason."""


class OnnxOutputs:
    """Random inputs of a model, and its outputs for them before its weights are rounded.

    Raises NotMeasuredError when ONNX Runtime is not installed or cannot run the model, and when the model's outputs
    differ between two runs on the same inputs.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        session = _session(model)
        self.inputs, self.expected = _first_that_runs(session)
        again = [_run(session, feed) for feed in self.inputs]
        if any(relative_error(a, b) > 1e-4 for a, b in zip(self.expected, again, strict=True)):
            raise NotMeasuredError("the model returns different outputs each time it runs")

    def error(self, model: onnx.ModelProto) -> float:
        """The largest error of an output, equation (1), of the same model with other weights."""
        session = _session(model)
        outputs = [_run(session, feed) for feed in self.inputs]
        return relative_error(_joined(self.expected), _joined(outputs))


def _session(model: onnx.ModelProto) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise NotMeasuredError("ONNX Runtime is not installed") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # the caller reports a model that cannot run, once
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime and protobuf raise many types for a model that they reject
        raise NotMeasuredError(f"ONNX Runtime rejects the model ({reason_of(error)})") from None


def _first_that_runs(session: Any) -> tuple[list[dict[str, _Array]], list[list[_Array]]]:
    """Inputs of the first extents on which the model runs, and its outputs for them."""
    for argument in session.get_inputs():
        if argument.type not in _TYPES:
            raise NotMeasuredError(
                f"its input {printable(argument.name)} has type {argument.type}, for which no values can be drawn"
            )
    reason = ""
    for batch, other in _EXTENTS:
        feeds = [dict(_drawn(session, batch, other, seed)) for seed in range(_DRAWS)]
        try:
            return feeds, [_run(session, feed) for feed in feeds]
        except NotMeasuredError as error:
            reason = reason or str(error)
    raise NotMeasuredError(reason)


def _drawn(session: Any, batch: int, other: int, seed: int) -> Iterator[tuple[str, _Array]]:
    """Values for each input of the model. Seed 0: normal; seed 1: uniform in [0, 1); other seeds: small normal.

    Integer inputs are 0 or 1, which are valid indices into any axis longer than 1.
    """
    generator = np.random.default_rng(seed)
    for argument in session.get_inputs():
        shape = [
            extent if isinstance(extent, int) and extent > 0 else (batch if axis == 0 else other)
            for axis, extent in enumerate(argument.shape)
        ]
        dtype = np.dtype(_TYPES[argument.type])
        if dtype.kind != "f":
            yield argument.name, generator.integers(0, 2, shape).astype(dtype)
        elif seed == 1:
            yield argument.name, generator.random(shape).astype(dtype)
        else:
            yield argument.name, (generator.standard_normal(shape) * (1.0 if seed == 0 else 0.1)).astype(dtype)


def _run(session: Any, feed: dict[str, _Array]) -> list[_Array]:
    try:
        return [np.asarray(output) for output in session.run(None, feed)]
    except Exception as error:  # as above; an output that is a sequence of tensors of different shapes raises as well
        raise NotMeasuredError(f"ONNX Runtime cannot run the model on random inputs ({reason_of(error)})") from None


def _joined(runs: Sequence[Sequence[_Array]]) -> list[_Array]:
    """For each output, its values from all runs in one flat array."""
    return [np.concatenate([output.reshape(-1) for output in outputs]) for outputs in zip(*runs, strict=True)]


def relative_error(expected: Sequence[_Array], actual: Sequence[_Array]) -> float:
    """The largest error of an output, equation (1); infinite if shapes differ or other elements are finite."""
    worst = 0.0
    for reference, output in zip(expected, actual, strict=True):
        if reference.shape != output.shape:
            return float("inf")
        if reference.dtype.kind != "f":
            worst = max(worst, float(np.mean(reference != output)) if reference.size else 0.0)
            continue
        finite = np.isfinite(reference)
        if not np.array_equal(np.isfinite(output), finite):
            return float("inf")
        exact, rounded = reference[finite].astype(np.float64), output[finite].astype(np.float64)
        size, error = np.linalg.norm(exact), np.linalg.norm(rounded - exact)
        if error > 0.0:
            worst = max(worst, float(error / size) if size > 0.0 else float("inf"))
    return worst
