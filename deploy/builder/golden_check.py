"""Comparison of a compiled network with PyTorch on the golden vectors, before a bundle is written.

Importers and exporters are large programs, and some of their bugs change outputs without an error. So every graph and
every kernel is compared with PyTorch, and a bundle that fails is not written. Code for other processors is compiled
from the same imported program; `verify` checks it on devices and emulators.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ... import codec
from ...errors import BayespressError, CheckFailedError, reason_of, user_code
from ...optional import require
from ..compile.aot import compile_network
from ..compile.targets import target_named
from ..devices.base import run_runner
from ..program.export import fill_weights, onnx_graph, parameter_names
from ..verify.sessions import onnx_outputs, onnx_session, program_function
from ..verify.tolerance import Floats, check_outputs, deviation
from .locate import MakeRun, first_wrong_operator

if TYPE_CHECKING:
    from torch.export import ExportedProgram

ONNX_RUNTIME = "ONNX Runtime on the exported graph"
COMPILED = "the code compiled for this machine"


@dataclass(frozen=True)
class GoldenCheck:
    """Golden vectors with the allowed differences.

    program  the exported network
    inputs   shape (n, ...)
    outputs  shape (n, ...), computed by PyTorch
    allowed  shape (n, ...), see tolerance.py
    """

    program: ExportedProgram
    inputs: Floats
    outputs: Floats
    allowed: Floats

    def check(self, runtime: str, run: Callable[[Floats], Floats], make_run: MakeRun | None = None) -> None:
        """Run the golden inputs. Raises CheckFailedError, which names the runtime, unless the outputs match PyTorch's.

        runtime   name of the runtime, for the error message
        run       function from inputs to outputs
        make_run  makes such a function for another program; it is used to find the first operator that differs
        """
        try:
            outputs = run(self.inputs)
        except CheckFailedError as error:
            reason = str(error)[:1].lower() + str(error)[1:]
            raise self._failure(f"{runtime} failed: {reason}", 0, make_run) from None
        if outputs.size != self.outputs.size:
            problem = f"{runtime} returns {outputs.size} numbers instead of {self.outputs.size}."
            raise self._failure(problem, 0, make_run)
        try:
            check_outputs(outputs, self.outputs, self.allowed, f"an output of {runtime}")
        except CheckFailedError as error:
            example = deviation(outputs, self.outputs, self.allowed).example
            raise self._failure(str(error), example, make_run) from None

    def _failure(self, problem: str, example: int, make_run: MakeRun | None) -> CheckFailedError:
        """The error: the problem, the first operator with wrong values if it can be found, and a remedy.

        example  index of a golden input with wrong outputs
        """
        inputs = self.inputs[example : example + 1]
        if make_run is None:
            return CheckFailedError(f"No bundle was written because {problem.rstrip('.')}; compress again.")
        operator = first_wrong_operator(self.program, inputs, make_run)
        location = "" if operator is None else f"the first wrong values are those of {operator}; "
        return CheckFailedError(
            f"No bundle was written because {problem.rstrip('.')}; {location}use other operators in the network."
        )

    def check_program(self) -> None:
        """Check the exported program in PyTorch."""
        self.check("PyTorch on the exported network", program_outputs(self.program))

    def check_graph(self, graph: bytes, weights: Mapping[str, Floats]) -> None:
        """Check the ONNX graph with these weights in ONNX Runtime."""

        def make_run(program: ExportedProgram) -> Callable[[Floats], Floats]:
            return graph_outputs(onnx_graph(program), _values(program))

        self.check(ONNX_RUNTIME, graph_outputs(graph, weights), make_run)

    def check_compiled(self, runner: Path, weights: Path, scratch: Path) -> None:
        """Check the network compiled for this machine, in a process of its own, because it may crash.

        runner   the compiled program
        weights  `.bpz` file
        scratch  existing folder for temporary files
        """

        def make_run(program: ExportedProgram) -> Callable[[Floats], Floats]:
            folder = Path(tempfile.mkdtemp(dir=scratch))
            (folder / "intermediate").mkdir()
            compiled = compile_network(program, target_named("host"), folder / "compiled", folder / "intermediate", {})
            file = folder / "weights.bpz"
            file.write_bytes(codec.encode([codec.RawTensor(name, array) for name, array in _values(program).items()]))
            return runner_outputs(compiled.runner, file, folder)

        self.check(COMPILED, runner_outputs(runner, weights, scratch), make_run)


def program_outputs(program: ExportedProgram) -> Callable[[Floats], Floats]:
    """A function that runs an exported program in PyTorch on examples, one at a time."""
    require("torch")
    import torch

    function = program_function(program)

    def run(inputs: Floats) -> Floats:
        with torch.no_grad(), user_code("the exported network"):
            return np.stack([function(torch.from_numpy(np.array(example[None]))).numpy()[0] for example in inputs])

    return run


def graph_outputs(graph: bytes, weights: Mapping[str, Floats]) -> Callable[[Floats], Floats]:
    """A function that runs a graph with these weights in ONNX Runtime on examples, one at a time."""

    def run(inputs: Floats) -> Floats:
        try:
            session = onnx_session(fill_weights(graph, weights))
            return onnx_outputs(session, inputs)
        except BayespressError:
            raise
        except Exception as error:  # the exceptions of ONNX Runtime have no other common base class
            raise CheckFailedError(reason_of(error)) from error

    return run


def runner_outputs(runner: Path, weights: Path, scratch: Path) -> Callable[[Floats], Floats]:
    """A function that runs a runner (a compiled program) on examples.

    scratch  existing folder for the file of inputs
    """

    def run(inputs: Floats) -> Floats:
        file = scratch / "golden.f32"
        file.write_bytes(np.ascontiguousarray(inputs, "<f4").tobytes())
        report = run_runner([runner.resolve(), weights, file])
        return report.output_array()

    return run


def _values(program: ExportedProgram) -> dict[str, Floats]:
    """The weights of a program by name, in the order of its parameters."""
    return {name: program.state_dict[name].detach().numpy() for name in parameter_names(program).values()}
