"""The result of compression, and the packed directory that carries it on."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..confusion import Confusion
from ..errors import InputError, reason_of
from ..files import StrPath
from ..html_report import html_table
from ..metric import ERROR, Metric
from ..outputs import WEIGHT_FILE, output_folder, write_output
from ..packed_format import (
    GOLDEN,
    NETWORK,
    ORIGINAL,
    PACKED,
    WEIGHTS,
    ChoiceRecord,
    PackedRecord,
    Preprocessing,
    StepRecord,
)
from .check_written import check_written
from .golden import golden_vectors
from .settings import CompressSettings
from .size_breakdown import layer_records, papers_columns

_CHECKED = 8  # golden inputs that the exported program is run on before it is handed on


@dataclass(frozen=True, repr=False)
class Packed:
    """A compressed network.

    weights   the `.bpz` file
    network   the shrunk network with the weights that the file decodes to, in evaluation mode
    original  the network as it was given, posterior means and all
    example   the inputs (n >= 1, ...) that it was compressed with
    steps     error and size after each step
    settings  that it was compressed by
    notes     what the user should know, one sentence each
    name      of the network; the bundle is called so
    golden    examples (n >= 1, ...) from the data whose outputs every runtime must reproduce; None takes `example`
    preprocessing, labels, data  of the data set: how raw values become inputs, the names of classes, its name
    measured_by, part  what the steps' metric is, and the part of the data set that it was measured on, where known
    confusion_before, confusion  which class is taken for which, before and after compression, where that was measured
    choice    how the settings were chosen, where a search chose them

    >>> import pathlib, tempfile, torch, bayespress
    >>> packed = bayespress.compress(bayespress.bayesianize(torch.nn.Linear(4, 3)), torch.randn(8, 4), threshold=20.0)
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> packed.save(folder / "net.bpz")
    >>> (folder / "net.bpz").read_bytes() == packed.weights
    True
    >>> packed.write(folder / "packed").name
    'network'
    """

    weights: bytes
    network: nn.Module
    original: nn.Module
    example: Tensor
    steps: tuple[StepRecord, ...]
    settings: CompressSettings = field(default_factory=CompressSettings)
    notes: tuple[str, ...] = field(default=())
    name: str = "network"
    golden: Tensor | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    labels: tuple[str, ...] = ()
    data: str | None = None
    choice: ChoiceRecord | None = None
    measured_by: Metric = ERROR
    part: Literal["validation", "test"] | None = None
    confusion_before: Confusion | None = None
    confusion: Confusion | None = None

    def __repr__(self) -> str:
        metric = self.steps[-1].metric if self.steps else None
        shown = "" if metric is None else f", {self.measured_by.name} {self.measured_by.text(metric)}"
        return f"Packed({self.name}: {len(self.weights):,} bytes, {self.ratio:.0f}x smaller{shown})"

    def _repr_html_(self) -> str:
        """A table of the steps, for notebooks."""
        rows = [
            (
                step.name,
                "" if step.metric is None else self.measured_by.text(step.metric),
                f"{step.nonzero:,}",
                "" if step.bytes is None else f"{step.bytes:,}",
            )
            for step in self.steps
        ]
        return html_table(("step", self.measured_by.name, "non-zero parameters", "bytes"), rows, repr(self))

    @property
    def original_parameters(self) -> int:
        """Parameters of the network as it was given."""
        return sum(parameter.numel() for parameter in self.original.parameters())

    @property
    def ratio(self) -> float:
        """4 bytes a parameter of the original over the size of the `.bpz`."""
        return 4.0 * self.original_parameters / len(self.weights)

    def save(self, path: StrPath, *, overwrite: bool = False) -> None:
        """Write the `.bpz` alone.

        overwrite  replace another `.bpz` file; a file of another kind is never replaced

        Raises InputError when something is there that may not be replaced.
        """
        write_output(Path(path), WEIGHT_FILE, self.weights, overwrite=overwrite)

    def write(
        self,
        folder: StrPath,
        *,
        name: str | None = None,
        golden: Tensor | None = None,
        labels: Sequence[str] | None = None,
        overwrite: bool = False,
    ) -> PackedRecord:
        """Write the packed directory (see packed_format.py) and return its record.

        name, golden, labels  in place of the fields of this object
        overwrite  replace another packed directory; a folder with anything else in it is never replaced

        Raises InputError when the network cannot be exported for inputs of this shape, when something is at `folder`
        that may not be replaced, and as golden_vectors does; CheckFailedError when the exported program with the
        decoded weights does not compute what the network does.
        """
        golden = self.golden if golden is None else golden
        vectors = golden_vectors(self.network, self.example if golden is None else golden)
        record = PackedRecord(
            name=self.name if name is None else name,
            input_shape=tuple(vectors.inputs.shape[1:]),
            output_shape=tuple(vectors.outputs.shape[1:]),
            preprocessing=self.preprocessing,
            labels=self.labels if labels is None else tuple(labels),
            data=self.data,
            measured_by=self.measured_by,
            part=self.part,
            confusion_before=self.confusion_before,
            confusion=self.confusion,
            original_parameters=self.original_parameters,
            original_bytes=4 * self.original_parameters,
            packed_bytes=len(self.weights),
            steps=self.steps,
            settings=asdict(self.settings),
            layers=layer_records(self.weights, self.original),
            papers=papers_columns(self.weights, self.network),
            choice=self.choice,
            real_examples=vectors.real,
            notes=vectors.notes,
        )
        with output_folder(Path(folder), PACKED, overwrite=overwrite) as fresh:
            (fresh / WEIGHTS).write_bytes(self.weights)
            for network, file in ((self.network, NETWORK), (self.original, ORIGINAL)):
                _export(network, vectors.inputs[:1], fresh / file)
            check_written(fresh / NETWORK, self.weights, self.network, vectors.inputs[:_CHECKED])
            arrays = {"input": vectors.inputs.contiguous(), "output": vectors.outputs.contiguous()}
            save_file(arrays, fresh / GOLDEN)
            record.write(fresh)
        return record


def _export(network: nn.Module, example: Tensor, path: Path) -> None:
    """Export for one example, with buffers as parameters: what is in the `.bpz` is then no constant of the graph."""
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.is_floating_point() and name not in module._non_persistent_buffers_set:
                delattr(module, name)
                module.register_parameter(name, nn.Parameter(buffer))
    network.requires_grad_(False)
    _take_masks_as_given(network)
    try:
        with _quiet():
            program = torch.export.export(network, (example,))
    except Exception as error:
        # torch.export raises dozens of types, user code any; all mean that this network has no static graph.
        raise InputError(
            f"{type(network).__name__} cannot be exported for an input of shape {tuple(example.shape)} "
            f"({reason_of(error)}); make its forward traceable."
        ) from error
    program._example_inputs = None  # the file is for others: the user's examples, and the pickle they lie in, stay here
    # Through memory: PyTorch's own writer ends the process when the disk is full.
    archive = io.BytesIO()
    torch.export.save(program, archive)
    path.write_bytes(archive.getvalue())


def _take_masks_as_given(network: nn.Module) -> None:
    """Keep PyTorch's transformers from comparing a mask with a causal one, in place.

    They branch on the mask's values, which cannot be exported, to choose a faster kernel. Without the hint they apply
    the mask that they are given.
    """

    def without_hint(place: int, hint: str) -> Callable[..., tuple[Any, Any]]:
        def hook(_module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
            if len(inputs) > place:
                given = False if inputs[place] is None else inputs[place]
                return (*inputs[:place], given, *inputs[place + 1 :]), named
            return inputs, named | {hint: named.get(hint) or False}

        return hook

    for module in network.modules():
        if isinstance(module, nn.TransformerEncoder):
            module.register_forward_pre_hook(without_hint(3, "is_causal"), with_kwargs=True)
        elif isinstance(module, nn.TransformerDecoder):
            module.register_forward_pre_hook(without_hint(6, "tgt_is_causal"), with_kwargs=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torch.export logs, graphs among it, from the terminal: a failure is reported in one sentence."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
