"""What rounded weights do to the outputs of an ONNX model, measured in ONNX Runtime on random inputs.

For each output y of the model, over all inputs x drawn,

    (1)  error = sqrt(sum_x |y^(x) - y(x)|^2 / sum_x |y(x)|^2),

and the largest of these errors is what counts. Outputs of whole numbers (classes, indices) count by how many differ.
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
# Extents tried for axes without a fixed one, of the batch and of the others: a model may need room for its kernels.
_EXTENTS = ((4, 1), (1, 1), (4, 16), (1, 16), (1, 64), (1, 224))
_DRAWS = 3
_TYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int16)": np.int16, "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8, "tensor(uint16)": np.uint16, "tensor(uint32)": np.uint32, "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
}  # fmt: skip


class NotMeasuredError(Exception):
    """The model's outputs cannot be measured here; the text is a clause that says why."""


class OnnxOutputs:
    """The outputs of a model as it was given, and the inputs that they belong to.

    Raises NotMeasuredError when ONNX Runtime is not installed, cannot run the model, or gives other outputs each time.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        session = _session(model)
        self.inputs, self.expected = _first_that_runs(session)
        again = [_run(session, feed) for feed in self.inputs]
        if any(relative_error(a, b) > 1e-4 for a, b in zip(self.expected, again, strict=True)):
            raise NotMeasuredError("the model gives other outputs each time it runs")

    def error(self, model: onnx.ModelProto) -> float:
        """The error of equation (1), of the worst output, of the same model with other weights."""
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
    options.log_severity_level = 4  # a model that cannot run is reported by us, once
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime and protobuf have many classes for a model that they do not take
        raise NotMeasuredError(f"ONNX Runtime does not take the model ({reason_of(error)})") from None


def _first_that_runs(session: Any) -> tuple[list[dict[str, _Array]], list[list[_Array]]]:
    """Inputs of the first extents with which the model runs, and the outputs for them."""
    for each in session.get_inputs():
        if each.type not in _TYPES:
            raise NotMeasuredError(f"its input {printable(each.name)} is a {each.type}, for which no values are drawn")
    reason = ""
    for batch, other in _EXTENTS:
        feeds = [dict(_drawn(session, batch, other, seed)) for seed in range(_DRAWS)]
        try:
            return feeds, [_run(session, feed) for feed in feeds]
        except NotMeasuredError as error:
            reason = reason or str(error)
    raise NotMeasuredError(reason)


def _drawn(session: Any, batch: int, other: int, seed: int) -> Iterator[tuple[str, _Array]]:
    """An input of each: normal, uniform from 0 to 1, or small; whole numbers 0 and 1, which index anything."""
    generator = np.random.default_rng(seed)
    for each in session.get_inputs():
        shape = [
            extent if isinstance(extent, int) and extent > 0 else (batch if axis == 0 else other)
            for axis, extent in enumerate(each.shape)
        ]
        kind = np.dtype(_TYPES[each.type])
        if kind.kind != "f":
            yield each.name, generator.integers(0, 2, shape).astype(kind)
        elif seed == 1:
            yield each.name, generator.random(shape).astype(kind)
        else:
            yield each.name, (generator.standard_normal(shape) * (1.0 if seed == 0 else 0.1)).astype(kind)


def _run(session: Any, feed: dict[str, _Array]) -> list[_Array]:
    try:
        return [np.asarray(output) for output in session.run(None, feed)]
    except Exception as error:  # as above; a sequence of unlike tensors raises here too
        raise NotMeasuredError(f"ONNX Runtime cannot run the model on random inputs ({reason_of(error)})") from None


def _joined(runs: Sequence[Sequence[_Array]]) -> list[_Array]:
    """The outputs of all runs, flat, output by output."""
    return [np.concatenate([output.reshape(-1) for output in outputs]) for outputs in zip(*runs, strict=True)]


def relative_error(expected: Sequence[_Array], found: Sequence[_Array]) -> float:
    """The error of equation (1), of the worst output; infinite where shapes or finiteness differ."""
    worst = 0.0
    for right, other in zip(expected, found, strict=True):
        if right.shape != other.shape:
            return float("inf")
        if right.dtype.kind != "f":
            worst = max(worst, float(np.mean(right != other)) if right.size else 0.0)
            continue
        finite = np.isfinite(right)
        if not np.array_equal(np.isfinite(other), finite):
            return float("inf")
        exact, rounded = right[finite].astype(np.float64), other[finite].astype(np.float64)
        size, error = np.linalg.norm(exact), np.linalg.norm(rounded - exact)
        if error > 0.0:
            worst = max(worst, float(error / size) if size > 0.0 else float("inf"))
    return worst
