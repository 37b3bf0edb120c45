"""The part of ONNX Runtime that bayespress uses; the package has no types of its own."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import numpy.typing as npt

class GraphOptimizationLevel:
    ORT_ENABLE_ALL: GraphOptimizationLevel

class SessionOptions:
    graph_optimization_level: GraphOptimizationLevel
    inter_op_num_threads: int
    intra_op_num_threads: int
    log_severity_level: int

class NodeArg:
    name: str
    # A name or None for an extent that is not fixed.
    shape: list[int | str | None]
    # As "tensor(float)".
    type: str

class OrtValue:
    @classmethod
    def ortvalue_from_numpy(
        cls, numpy_obj: npt.NDArray[Any], /, device_type: str = "cpu", device_id: int = 0, vendor_id: int = -1
    ) -> OrtValue: ...
    def numpy(self) -> npt.NDArray[Any]: ...

class IOBinding:
    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None: ...
    def bind_ortvalue_output(self, name: str, ortvalue: OrtValue) -> None: ...

class InferenceSession:
    def __init__(
        self,
        path_or_bytes: str | bytes | PathLike[str],
        sess_options: SessionOptions | None = None,
        providers: Sequence[str | tuple[str, dict[Any, Any]]] | None = None,
        provider_options: Sequence[dict[Any, Any]] | None = None,
        **kwargs: Any,
    ) -> None: ...
    def get_inputs(self) -> Sequence[NodeArg]: ...
    def get_outputs(self) -> Sequence[NodeArg]: ...
    def io_binding(self) -> IOBinding: ...
    # An array for each output that is a tensor; sequences and maps come as lists and dictionaries.
    def run(
        self, output_names: Sequence[str] | None, input_feed: Mapping[str, npt.NDArray[Any]], run_options: object = None
    ) -> Sequence[npt.NDArray[Any] | list[object] | dict[object, object]]: ...
    def run_with_iobinding(self, iobinding: IOBinding, run_options: object = None) -> None: ...
