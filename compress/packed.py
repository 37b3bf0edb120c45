"""The result of compression, and the packed directory that holds it."""

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
    PackedRecord,
    Preprocessing,
    SearchRecord,
    StepRecord,
)
from .check_written import check_written
from .golden import golden_vectors
from .settings import CompressSettings
from .size_breakdown import layer_records, papers_columns

_CHECKED = 8  # golden inputs on which the exported program is compared with the network


@dataclass(frozen=True, repr=False)
class Packed:
    """A compressed network.

    weights   the `.bpz` file
    network   the shrunk network with the weights that the file decodes to, in evaluation mode
    original  the network before compression, with the posterior means as its weights
    example   the inputs (n >= 1, ...) that traced the network
    steps     the metric and the size after each step
    settings  the settings of the compression
    notes     notes for the user, one sentence each
    name      name of the network, which becomes the bundle's name
    golden    examples (n >= 1, ...) from the data whose outputs every runtime must reproduce; None takes `example`
    preprocessing  how raw values of the data set become inputs
    labels    names of the classes
    data      name of the data set
    choice    the record of the search that chose the settings; None without a search
    measured_by  the metric of `steps`
    part      the part of the data set that the metric was measured on; None if unknown
    confusion_before, confusion  counts of true and predicted classes before and after compression; None if not measured

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
    choice: SearchRecord | None = None
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
        """Number of parameters of the network before compression."""
        return sum(parameter.numel() for parameter in self.original.parameters())

    @property
    def ratio(self) -> float:
        """The compression ratio: 4 bytes per parameter of the original, divided by the size of the `.bpz`."""
        return 4.0 * self.original_parameters / len(self.weights)

    def save(self, path: StrPath, *, overwrite: bool = False) -> None:
        """Write only the `.bpz` file.

        overwrite  replace an existing `.bpz` file; a file of another kind is never replaced

        Raises InputError when `path` exists and may not be replaced.
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

        name, golden, labels  override the fields of this object
        overwrite  replace an existing packed directory; a folder with other files is never replaced

        Raises InputError when the network cannot be exported for inputs of this shape, when `folder` exists and may
        not be replaced, and for the reasons of golden_vectors. Raises CheckFailedError when the exported program with
        the decoded weights computes other outputs than the network.
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
        with output_folder(Path(folder), PACKED, overwrite=overwrite) as partial:
            (partial / WEIGHTS).write_bytes(self.weights)
            for network, file in ((self.network, NETWORK), (self.original, ORIGINAL)):
                _export(network, vectors.inputs[:1], partial / file)
            check_written(partial / NETWORK, self.weights, self.network, vectors.inputs[:_CHECKED])
            arrays = {"input": vectors.inputs.contiguous(), "output": vectors.outputs.contiguous()}
            save_file(arrays, partial / GOLDEN)
            record.write(partial)
        return record


def _export(network: nn.Module, example: Tensor, path: Path) -> None:
    """Export the network for one example. Buffers become parameters, since tensors of the `.bpz` are not constants."""
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            if buffer.is_floating_point() and name not in module._non_persistent_buffers_set:
                delattr(module, name)
                module.register_parameter(name, nn.Parameter(buffer))
    network.requires_grad_(False)
    _disable_mask_detection(network)
    try:
        with _quiet():
            program = torch.export.export(network, (example,))
    except Exception as error:
        # torch.export and user code raise many types; all mean that this network has no static graph.
        raise InputError(
            f"{type(network).__name__} cannot be exported for an input of shape {tuple(example.shape)} "
            f"({reason_of(error)}); make its forward traceable."
        ) from error
    program._example_inputs = None  # the file may be published, so it holds neither the user's data nor a pickle of it
    # Written to memory first: PyTorch's own writer ends the process when the disk is full.
    archive = io.BytesIO()
    torch.export.save(program, archive)
    path.write_bytes(archive.getvalue())


def _disable_mask_detection(network: nn.Module) -> None:
    """Stop PyTorch's transformers from comparing a mask with a causal one, in place.

    They branch on the mask's values to choose a faster kernel, which cannot be exported. With the argument `is_causal`
    set to False instead of None they apply the mask without a comparison.
    """

    def none_to_false(position: int, name: str) -> Callable[..., tuple[Any, Any]]:
        def hook(_module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
            if len(inputs) > position:
                is_causal = False if inputs[position] is None else inputs[position]
                return (*inputs[:position], is_causal, *inputs[position + 1 :]), named
            return inputs, named | {name: named.get(name) or False}

        return hook

    for module in network.modules():
        if isinstance(module, nn.TransformerEncoder):
            module.register_forward_pre_hook(none_to_false(3, "is_causal"), with_kwargs=True)
        elif isinstance(module, nn.TransformerDecoder):
            module.register_forward_pre_hook(none_to_false(6, "tgt_is_causal"), with_kwargs=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the logs of torch.export, which include whole graphs: a failure is reported in one sentence."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
