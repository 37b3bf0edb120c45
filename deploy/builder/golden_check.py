"""Does what `build` made compute what PyTorch computes? Tried on the golden vectors before a bundle is written.

Importers and exporters are large programs with faults of their own, and some of those change the outputs without an
error. So every graph and every kernel is compared with PyTorch here; a bundle that fails is not written. Builds for
processors other than this machine's are made from the same imported program, and `verify` runs them where it can.
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
    """Golden vectors and what may differ from them.

    program  the network as it was exported
    inputs   (n, ...)
    outputs  (n, ...), as PyTorch computed them
    allowed  (n, ...), see tolerance.py
    """

    program: ExportedProgram
    inputs: Floats
    outputs: Floats
    allowed: Floats

    def check(self, runtime: str, run: Callable[[Floats], Floats], make_run: MakeRun | None = None) -> None:
        """Run the golden inputs. Raises CheckFailedError, naming the runtime, unless the outputs are PyTorch's.

        make_run  makes such a function of another program; gives the first operator that differs, where it is found
        """
        try:
            outputs = run(self.inputs)
        except CheckFailedError as error:
            why = str(error)[:1].lower() + str(error)[1:]
            raise self._failure(f"{runtime} failed: {why}", 0, make_run) from None
        if outputs.size != self.outputs.size:
            raise self._failure(f"{runtime} gives {outputs.size} numbers for {self.outputs.size}.", 0, make_run)
        try:
            check_outputs(outputs, self.outputs, self.allowed, f"an output of {runtime}")
        except CheckFailedError as error:
            example = deviation(outputs, self.outputs, self.allowed).example
            raise self._failure(str(error), example, make_run) from None

    def _failure(self, what: str, example: int, make_run: MakeRun | None) -> CheckFailedError:
        """One sentence: what is wrong, and after which operator, where that is found."""
        inputs = self.inputs[example : example + 1]
        if make_run is None:
            return CheckFailedError(f"No bundle was written, as {what.rstrip('.')}; compress again.")
        where = first_wrong_operator(self.program, inputs, make_run)
        place = "" if where is None else f"the first values to differ are those of {where}; "
        return CheckFailedError(f"No bundle was written, as {what.rstrip('.')}; {place}write it with other operators.")

    def check_program(self) -> None:
        """The exported program itself, in PyTorch."""
        self.check("PyTorch on the exported network", program_outputs(self.program))

    def check_graph(self, graph: bytes, weights: Mapping[str, Floats]) -> None:
        """The ONNX graph in ONNX Runtime, as `decode` writes it."""

        def make_run(program: ExportedProgram) -> Callable[[Floats], Floats]:
            return graph_outputs(onnx_graph(program), _values(program))

        self.check(ONNX_RUNTIME, graph_outputs(graph, weights), make_run)

    def check_compiled(self, runner: Path, weights: Path, scratch: Path) -> None:
        """The network compiled for this machine, in a process of its own, which may crash without harm.

        scratch  an existing folder
        """

        def make_run(program: ExportedProgram) -> Callable[[Floats], Floats]:
            folder = Path(tempfile.mkdtemp(dir=scratch))
            (folder / "between").mkdir()
            made = compile_network(program, target_named("host"), folder / "made", folder / "between", {})
            file = folder / "weights.bpz"
            file.write_bytes(codec.encode([codec.RawTensor(*each) for each in _values(program).items()]))
            return runner_outputs(made.runner, file, folder)

        self.check(COMPILED, runner_outputs(runner, weights, scratch), make_run)


def program_outputs(program: ExportedProgram) -> Callable[[Floats], Floats]:
    """A function that runs an exported program in PyTorch on examples, one by one."""
    require("torch")
    import torch

    function = program_function(program)

    def run(inputs: Floats) -> Floats:
        with torch.no_grad(), user_code("the exported network"):
            return np.stack([function(torch.from_numpy(np.array(each[None]))).numpy()[0] for each in inputs])

    return run


def graph_outputs(graph: bytes, weights: Mapping[str, Floats]) -> Callable[[Floats], Floats]:
    """A function that runs a graph with these weights in ONNX Runtime on examples, one by one."""

    def run(inputs: Floats) -> Floats:
        try:
            session = onnx_session(fill_weights(graph, weights))
            return onnx_outputs(session, inputs)
        except BayespressError:
            raise
        except Exception as error:  # onnxruntime's exceptions have no common base but this
            raise CheckFailedError(reason_of(error)) from error

    return run


def runner_outputs(runner: Path, weights: Path, scratch: Path) -> Callable[[Floats], Floats]:
    """A function that runs a runner on examples."""

    def run(inputs: Floats) -> Floats:
        file = scratch / "golden.f32"
        file.write_bytes(np.ascontiguousarray(inputs, "<f4").tobytes())
        report = run_runner([runner.resolve(), weights, file])
        return report.output_array()

    return run


def _values(program: ExportedProgram) -> dict[str, Floats]:
    """The weights that a program takes, by name, in its order."""
    return {name: program.state_dict[name].detach().numpy() for name in parameter_names(program).values()}
