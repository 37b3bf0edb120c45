"""Assembly of a bundle in a temporary folder: each step writes a part of the bundle and checks it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ...packed_format import WEIGHTS
from ..bundle.format import GOLDEN_HALF, GOLDEN_INPUT, GOLDEN_OUTPUT, GOLDEN_TOLERANCE, GRAPH, seal
from ..bundle.manifest import KernelDecisionRecord, Manifest, TargetEntry
from ..bundle.weights import decoded_digests
from ..compile.aot import Compiled, compile_network
from ..compile.targets import Target, target_named
from ..program.export import onnx_graph
from ..verify.sessions import program_function
from ..verify.tolerance import allowed_difference
from .golden_check import GoldenCheck
from .packed_network import PackedNetwork, stored_weights


class Assembly:
    """A bundle under construction.

    network  the packed network
    folder   temporary folder with the files of the bundle
    """

    def __init__(self, network: PackedNetwork, scratch: Path, kernels: str, log: Callable[[str], None]) -> None:
        self.network = network
        self.folder = scratch / "bundle"
        self._scratch, self._kernels, self._log = scratch, kernels, log
        self._stored = stored_weights(network.tensors)
        self._compiled: dict[str, Compiled] = {}
        log("checking the exported network")
        self._function = program_function(network.program)
        allowed = allowed_difference(self._function, network.inputs, network.outputs)
        self._golden = GoldenCheck(network.program, network.inputs, network.outputs, allowed)
        (self.folder / GOLDEN_INPUT).parent.mkdir(parents=True)

    def check_program(self) -> None:
        """Raise CheckFailedError unless the exported program computes the golden outputs."""
        self._golden.check_program()

    def write_files(self, files: Mapping[str, bytes]) -> None:
        """Add files; the keys are paths in the bundle."""
        for name, data in files.items():
            (self.folder / name).write_bytes(data)

    def compile_host(self, *, keep: bool) -> None:
        """Compile for this machine and check the outputs.

        keep  whether `host` is one of the bundle's targets
        """
        host = target_named("host")
        compiled = self._compile(host, self._target_folder(host) if keep else self._scratch / "host")
        self._log("checking the compiled network")
        self._golden.check_compiled(compiled.runner, self.folder / WEIGHTS, self._intermediate_folder())
        self._compiled[host.name] = compiled

    def compile(self, target: Target) -> None:
        """Compile for a target unless it is compiled already."""
        if target.name not in self._compiled:
            self._compiled[target.name] = self._compile(target, self._target_folder(target))

    def export_graph(self) -> None:
        """Write the ONNX graph and check its outputs."""
        self._log("exporting ONNX")
        graph = onnx_graph(self.network.program)
        self.write_files({GRAPH: graph})
        self._log("checking ONNX")
        self._golden.check_graph(graph, self.network.values())

    def write_golden(self, *, half: bool) -> None:
        """Write the golden vectors and the allowed difference of each output.

        half  whether a target computes products in float16 if the device supports it
        """
        network = self.network
        vectors = {GOLDEN_INPUT: network.inputs, GOLDEN_OUTPUT: network.outputs, GOLDEN_TOLERANCE: self._golden.allowed}
        if half:
            vectors[GOLDEN_HALF] = allowed_difference(self._function, network.inputs, network.outputs, half=True)
        self.write_files({name: values.astype("<f4").tobytes() for name, values in vectors.items()})

    def seal(self, targets: Sequence[Target]) -> Manifest:
        """Write the manifest, which lists every file in the folder."""
        record = self.network.record
        # The settings of the compression stay in the packed directory; a device does not use them.
        shared = set(Manifest.model_fields) & set(type(record).model_fields) - {"version"}
        manifest = Manifest(
            **record.model_dump(include=shared),
            golden_examples=len(self.network.inputs), decoded=decoded_digests(self.network.tensors), files=(),
            targets={target.name: self._entry(target) for target in targets},
        )  # fmt: skip
        return seal(self.folder, manifest)

    def _compile(self, target: Target, folder: Path) -> Compiled:
        self._log(f"compiling for {target.name}")
        intermediate = self._intermediate_folder()
        return compile_network(self.network.program, target, folder, intermediate, self._stored, self._kernels)

    def _intermediate_folder(self) -> Path:
        """A new folder for intermediate files."""
        return Path(tempfile.mkdtemp(prefix="intermediate-", dir=self._scratch))

    def _target_folder(self, target: Target) -> Path:
        return self.folder / "targets" / target.folder

    def _entry(self, target: Target) -> TargetEntry:
        compiled = self._compiled[target.name]

        def relative(path: Path) -> str:
            return path.relative_to(self.folder).as_posix()

        return TargetEntry(
            machine=target.machine,
            runner=relative(compiled.runner),
            archive=relative(compiled.archive),
            header=relative(compiled.header),
            library=None if compiled.library is None else relative(compiled.library),
            android=target.android,
            gpu=target.gpu is not None,
            layers=tuple(KernelDecisionRecord(**asdict(decision)) for decision in compiled.decisions),
            gpu_layers=tuple(KernelDecisionRecord(**asdict(decision)) for decision in compiled.gpu_decisions),
            half=target.half,
        )
