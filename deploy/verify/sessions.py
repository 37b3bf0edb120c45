"""Runtimes in this process: ONNX Runtime, PyTorch and a bundle's compiled library."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ...errors import BayespressError, CheckFailedError, InputError, reason_of
from ...optional import require

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from torch import Tensor
    from torch.export import ExportedProgram

_ALIGNMENT = 64


def onnx_session(model: bytes, threads: int = 1) -> InferenceSession:
    """An ONNX Runtime session on `threads` CPU threads, with all of its graph optimisations."""
    require("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors only; containers cause useless warnings about thread affinity
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@contextlib.contextmanager
def onnx_failures() -> Iterator[None]:
    """Convert the exceptions of ONNX Runtime inside the block into a CheckFailedError."""
    try:
        yield
    except BayespressError:
        raise
    except Exception as error:  # its exceptions have no other common base class
        raise CheckFailedError(
            f"ONNX Runtime cannot run the graph ({reason_of(error)}); build the bundle again."
        ) from error


def onnx_outputs(session: InferenceSession, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Outputs of shape (n, ...) for inputs of shape (n, ...), run one at a time."""
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: np.ascontiguousarray(each[None])})[0] for each in inputs])


def onnx_runner(session: InferenceSession, x: npt.NDArray[np.float32]) -> Callable[[], npt.NDArray[np.float32]]:
    """A function that runs the session on `x` and returns the output in a buffer that the next call overwrites.

    Input and output stay bound, as for the compiled network, so a call looks up and allocates nothing.
    """
    require("onnxruntime")
    import onnxruntime

    binding = session.io_binding()
    shape = [extent if isinstance(extent, int) else len(x) for extent in session.get_outputs()[0].shape]
    output = np.zeros(shape, np.float32)
    binding.bind_ortvalue_input(session.get_inputs()[0].name, onnxruntime.OrtValue.ortvalue_from_numpy(x))
    result = onnxruntime.OrtValue.ortvalue_from_numpy(output)
    binding.bind_ortvalue_output(session.get_outputs()[0].name, result)

    def run() -> npt.NDArray[np.float32]:
        session.run_with_iobinding(binding)
        return output

    return run


def program_function(program: ExportedProgram) -> Callable[[Tensor], Tensor]:
    """A function that runs an exported program in PyTorch on a tensor of one example and returns its output.

    It calls the program's graph directly. `program.module()` also checks and flattens its inputs in each call, which
    makes a small network about 25 % slower than the original network, and it fails for a layer with the name `for`.
    """
    require("torch")
    import torch

    signature, graph = program.graph_signature, program.graph_module
    kinds = torch.export.graph_signature
    arguments: list[object] = []
    for spec in signature.input_specs:
        if spec.kind == kinds.InputKind.USER_INPUT:
            arguments.append(None)
        elif spec.target in program.state_dict:
            arguments.append(program.state_dict[spec.target])
        else:
            arguments.append(program.constants[spec.target])
    position = next(i for i, spec in enumerate(signature.input_specs) if spec.kind == kinds.InputKind.USER_INPUT)
    result = next(i for i, spec in enumerate(signature.output_specs) if spec.kind == kinds.OutputKind.USER_OUTPUT)
    before, after = arguments[:position], arguments[position + 1 :]

    def run(tensor: Tensor) -> Tensor:
        outputs: tuple[Tensor, ...] = graph(*before, tensor, *after)
        return outputs[result]

    return run


def eager_runner(program: ExportedProgram, x: npt.NDArray[np.float32]) -> Callable[[], Tensor]:
    """A function that runs an exported program on `x` in PyTorch, operator by operator, in inference mode."""
    require("torch")
    import torch

    function, tensor = program_function(program), torch.from_numpy(x)

    def run() -> Tensor:
        with torch.inference_mode():
            return function(tensor)

    return run


class _Network(ctypes.Structure):
    _fields_ = (("weights", ctypes.c_void_p), ("arena", ctypes.c_void_p), ("weights_status", ctypes.c_int))


class CompiledNetwork:
    """A bundle's shared library, loaded into this process; see runtime/bayespress.h.

    output  buffer of shape (outputs,) that each run overwrites
    """

    def __init__(self, library: Path, weights: bytes) -> None:
        """Load the library and decode the weights (bytes of a `.bpz`).

        Raises InputError if the library cannot be loaded or refuses the weights.
        """
        try:
            self._library = ctypes.CDLL(os.fspath(library.resolve()))
        except OSError as error:
            raise InputError(f"{library} cannot be loaded on this machine ({error}); build for `host` here.") from None
        for name in ("bp_workspace_size", "bp_arena_size", "bp_input_size", "bp_output_size"):
            getattr(self._library, name).restype = ctypes.c_size_t
        self._library.bp_status_text.restype = ctypes.c_char_p
        self._weights = weights
        self._size = self._library.bp_workspace_size()
        self._memory = np.zeros(self._size + _ALIGNMENT, np.uint8)
        self._workspace = ctypes.c_void_p(-(-self._memory.ctypes.data // _ALIGNMENT) * _ALIGNMENT)
        self._network = _Network()
        self._reference = ctypes.byref(self._network)
        self._run = self._library.bp_run
        self._run.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        self.output = np.zeros(self._library.bp_output_size(), np.float32)
        self._forks: list[npt.NDArray[np.uint8]] = []
        self.load()

    def load(self) -> None:
        """Decode the weights. The constructor calls this; call it again to measure its time."""
        status = self._library.bp_load(
            self._reference, self._weights, ctypes.c_size_t(len(self._weights)), self._workspace,
            ctypes.c_size_t(self._size),
        )  # fmt: skip
        self._check(status)

    def run(self, example: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The output for one input (contiguous float32), in a buffer that the next call overwrites."""
        self._check(self._run(self._reference, example.ctypes.data, self.output.ctypes.data))
        return self.output

    def run_batch(self, examples: npt.NDArray[np.float32], threads: int) -> npt.NDArray[np.float32]:
        """Outputs of shape (n, outputs) for n inputs (contiguous float32), computed on `threads` threads."""
        while len(self._forks) + 1 < threads:
            arena = np.zeros(self._library.bp_arena_size() + _ALIGNMENT, np.uint8)
            self._forks.append(arena)
        networks = (_Network * threads)(self._network)
        for index, arena in enumerate(self._forks[: threads - 1], start=1):
            start = ctypes.c_void_p(-(-arena.ctypes.data // _ALIGNMENT) * _ALIGNMENT)
            size = ctypes.c_size_t(self._library.bp_arena_size())
            self._check(self._library.bp_fork(ctypes.byref(networks[index]), self._reference, start, size))
        outputs = np.zeros((len(examples), len(self.output)), np.float32)
        status = self._library.bp_run_batch(
            networks, ctypes.c_size_t(threads), ctypes.c_void_p(examples.ctypes.data), ctypes.c_size_t(len(examples)),
            ctypes.c_void_p(outputs.ctypes.data),
        )  # fmt: skip
        self._check(status)
        return outputs

    def _check(self, status: int) -> None:
        if status != 0:
            text = self._library.bp_status_text(status).decode()
            raise InputError(f"The compiled network failed: {text} (status {status}); build the bundle again.")
