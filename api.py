"""The Python interface. Each function is one command of the command line, and uses the same words.

net = bayespress.bayesianize(my_net, method="sparse-vd")
bayespress.fit(net, train_loader, val_loader, epochs=60)
packed = bayespress.compress(net, example_input)
packed.save("net.bpz")
bayespress.build(packed, targets=["host", "arm64-linux"], out="net.bundle")
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

from .compress.settings import CompressOptions, CompressSettings
from .errors import InputError
from .files import StrPath
from .optional import needs
from .signatures import shows_settings

if TYPE_CHECKING:
    from torch import Tensor

    from .codec.layout import FileLayout
    from .compress.packed import Packed
    from .compress.pipeline import Evaluate
    from .deploy.bundle.manifest import Manifest
    from .packed_format import Preprocessing
    from .train.likelihoods import LikelihoodLike
    from .workflow.compress import Loader, Trained
    from .workflow.load import LoadedNetwork, LoadedWeights

Progress = Callable[[str], None]


def _quiet(_step: str) -> None:
    """Progress that nobody asked for."""


@overload
def compress(
    model_or_path: Trained | Callable[..., Any],
    example: Tensor,
    *,
    evaluate: Evaluate | None = None,
    loader: Loader | None = None,
    likelihood: LikelihoodLike | None = None,
    out: StrPath | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **settings: Unpack[CompressOptions],
) -> Packed: ...


@overload
def compress(
    model_or_path: StrPath,
    *,
    out: StrPath | None = None,
    data_dir: StrPath | None = None,
    trust_code: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    **settings: Unpack[CompressOptions],
) -> Packed | LoadedWeights: ...


@overload
def compress(
    model_or_path: StrPath,
    *,
    out: StrPath | None = None,
    tolerance: float,
    threads: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
    profile: str = "small",
) -> LoadedWeights: ...


@shows_settings(CompressSettings)
@needs("compress")
def compress(
    model_or_path: Trained | Callable[..., Any] | StrPath,
    example: Tensor | None = None,
    *,
    evaluate: Evaluate | None = None,
    loader: Loader | None = None,
    likelihood: LikelihoodLike | None = None,
    out: StrPath | None = None,
    data_dir: StrPath | None = None,
    tolerance: float | None = None,
    threads: int | None = None,
    trust_code: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    **settings: Unpack[CompressOptions],
) -> Packed | LoadedWeights:
    """Prune, shrink and quantise a trained network.

    model_or_path  what `bayesianize` returned and `fit` trained, compiled by torch.compile or not; or the path of a run
                   directory that `bayespress train` wrote; or the path of a file of weights: .safetensors, .pt (a state
                   dict) or .onnx
    example        of a network: inputs (n, ...) as it takes them, a few from the data
    evaluate       of a network: a function that gives the error of a module, in percent or in the unit of the
                   likelihood's metric; it is called after each step
    likelihood     of a network: what retraining lowers, as `fit` takes it; None takes what `fit` trained by
    loader         of a network: the training set, for `retrain=EPOCHS`
    out            of a path: packed directory to write, or .bpz file of a file of weights (by default beside it)
    data_dir       of a run directory: folder of the data set's files
    tolerance, threads  of a file of weights: relative error that each row and column may have (by default 0.01), and
                   tensors that are rounded at once (by default 1)
    trust_code     import the module:callable that a run directory names
    overwrite      replace an earlier output at `out`; a file of another kind is never replaced
    progress       called with one line of text as each step begins
    settings       fields of CompressSettings, as `budget=0.1, retrain=10`. Of a run directory those that are not given
                   are its recipe's, and then the defaults; where that recipe names a goal, the others are searched as
                   `tune` does. Of a file of weights only `profile` can be given

    Returns a Packed, which `save`s a .bpz and which `build` takes; of a file of weights, its decoded tensors.

    Raises InputError for a network without a posterior, for an unknown setting, for an argument that is for another
    kind of input, and when no weight is left.

    >>> import torch, bayespress
    >>> net = bayespress.bayesianize(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)))
    >>> packed = bayespress.compress(net, torch.randn(8, 4), threshold=20.0)
    >>> len(packed.weights) < 4 * packed.original_parameters
    True
    """
    from .workflow.compress import (
        compress_path,
        compress_trained,
        compress_weights,
        is_weight_file,
    )
    from .workflow.compress_table import settings_of

    report = progress or _quiet
    of_network = {"example": example, "evaluate": evaluate, "loader": loader, "likelihood": likelihood}
    of_run, of_weights = {"data_dir": data_dir, "trust_code": trust_code}, {"tolerance": tolerance, "threads": threads}
    if isinstance(model_or_path, str | PathLike):
        path = Path(model_or_path)
        if is_weight_file(path):
            _refuse({**of_network, **of_run}, f"{path} is a file of weights")
            return compress_weights(
                path, None if out is None else Path(out), dict(settings), tolerance=tolerance, threads=threads or 1,
                overwrite=overwrite, progress=report,
            )  # fmt: skip
        _refuse({**of_network, **of_weights}, f"{path} is a run directory")
        return compress_path(
            path, None if out is None else Path(out), dict(settings),
            data_dir=None if data_dir is None else Path(data_dir), trust_code=trust_code, overwrite=overwrite,
            progress=report,
        )  # fmt: skip
    _refuse({**of_run, **of_weights}, "A network was given")
    packed = compress_trained(
        model_or_path,
        _given(example),
        settings_of(settings),
        evaluate=evaluate,
        loader=loader,
        likelihood=likelihood,
        progress=report,
    )
    if out is not None:
        packed.write(out, overwrite=overwrite)
    return packed


@shows_settings(CompressSettings)
@needs("compress")
def tune(
    model_or_path: Trained | Callable[..., Any] | StrPath,
    example: Tensor | None = None,
    *,
    max_error: float | None = None,
    max_loss: float | None = None,
    max_bytes: int | None = None,
    trials: int = 30,
    storage: str | None = None,
    evaluate: Evaluate | None = None,
    loader: Loader | None = None,
    likelihood: LikelihoodLike | None = None,
    out: StrPath | None = None,
    data_dir: StrPath | None = None,
    trust_code: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    **settings: Unpack[CompressOptions],
) -> Packed:
    """Compress by the settings that a search finds: the smallest file for an error, or the lowest error for a size.

    max_error  the smallest file whose error is at most this: in percent, or in the unit of the likelihood's metric
    max_loss   the same, above the error of the trained network
    max_bytes  the lowest error of a file of at most so many bytes; without any of the three, the knee of the curve
    trials     settings to try, those counted that `storage` already has
    storage    SQLite file or database URL that keeps the trials, so that a search can be continued; by default
               RUN/search.db for a run directory, and none for a network
    evaluate   of a network: a function that gives the error of a module, on data held out from training.
               A run directory is measured on the part of the training set that `held_out` kept back
    settings   fields of CompressSettings that the search keeps fixed

    The other arguments are those of `compress`. `Packed.choice` records the search.

    Raises InputError for more than one goal, and when no settings reach it, with the closest that was found.

    >>> import torch, bayespress
    >>> net = bayespress.bayesianize(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)))
    >>> packed = bayespress.tune(net, torch.randn(8, 4), max_bytes=200, trials=3, evaluate=lambda module: 1.0)
    >>> len(packed.weights) <= 200, len(packed.choice.points)
    (True, 3)
    """
    from .compress.choose import Goal
    from .workflow.compress import compress_path, compress_trained
    from .workflow.compress_table import settings_of

    goal = Goal(max_error=max_error, max_loss=max_loss, max_bytes=max_bytes)
    report = progress or _quiet
    if isinstance(model_or_path, str | PathLike):
        path = Path(model_or_path)
        of_network = {"example": example, "evaluate": evaluate, "loader": loader, "likelihood": likelihood}
        _refuse(of_network, f"{path} is a run directory")
        return compress_path(
            path, None if out is None else Path(out), dict(settings), goal=goal, trials=trials,
            storage=storage, data_dir=None if data_dir is None else Path(data_dir), trust_code=trust_code,
            overwrite=overwrite, progress=report,
        )  # fmt: skip
    _refuse({"data_dir": data_dir, "trust_code": trust_code}, "A network was given")
    packed = compress_trained(
        model_or_path, _given(example), settings_of(settings), evaluate=evaluate, loader=loader, likelihood=likelihood,
        goal=goal, trials=trials, storage=storage, progress=report,
    )  # fmt: skip
    if out is not None:
        packed.write(out, overwrite=overwrite)
    return packed


@needs("deploy")
def build(
    packed: Packed | StrPath,
    targets: Sequence[str] = ("host",),
    out: StrPath = "network.bundle",
    *,
    name: str | None = None,
    preprocessing: Preprocessing | None = None,
    labels: Sequence[str] | None = None,
    kernels: str = "auto",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Compile a compressed network with TVM into a bundle: a folder, or one file where `out` ends in .zip.

    packed         what `compress` returned, or the path of a packed directory
    targets        names of targets, as `bayespress targets` lists them
    name           of the network, in the manifest
    preprocessing  how raw values become the network's input; labels: the names of its outputs. Both are for the
                   programs that show the network; None takes what `packed` has
    kernels        of layers that can be either: "dense", "sparse", or "auto", the one that is expected to be faster
    overwrite      replace another bundle at `out`; anything else that is there is never replaced
    progress       called with one line of text as each step begins

    Returns the manifest of the bundle.

    Raises InputError for an unknown target and for labels that do not fit the outputs, MissingToolError without TVM or
    a C compiler, CheckFailedError when the compiled network differs from PyTorch.

    >>> import pathlib, tempfile, torch, bayespress
    >>> net = bayespress.bayesianize(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)))
    >>> packed = bayespress.compress(net, torch.randn(8, 4), threshold=20.0)
    >>> bundle = pathlib.Path(tempfile.mkdtemp(), "net.bundle")
    >>> manifest = bayespress.build(packed, ["host"], bundle, name="small", labels=["no", "yes"])
    >>> manifest.name, sorted(manifest.targets), (bundle / "targets/host/runner").is_file()
    ('small', ['host'], True)
    """
    from .packed_format import PackedRecord
    from .workflow.bundle import build_packed

    with tempfile.TemporaryDirectory(prefix="bayespress-") as scratch:
        if isinstance(packed, str | PathLike):
            folder = Path(packed)
        else:
            folder = Path(scratch) / "packed"
            packed.write(folder, name=name)
        described: dict[str, Any] = {"name": name, "preprocessing": preprocessing}
        described["labels"] = None if labels is None else tuple(labels)
        changes = {key: value for key, value in described.items() if value is not None}
        if labels is not None:
            _check_labels(PackedRecord.read(folder), labels)
        manifest, _ = build_packed(
            folder, Path(out), targets, kernels, described=changes, overwrite=overwrite, progress=progress or _quiet
        )
    return manifest


def inspect(path: StrPath) -> FileLayout:
    """Where each byte of a .bpz file goes, by tensor and by stream.

    path  of a .bpz file, or of a bundle or packed directory that holds one

    Raises InputError when there is no such file, CorruptFileError when it is not sound.

    >>> import bayespress, numpy as np, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "ones.bpz")
    >>> _ = path.write_bytes(bayespress.codec.encode([bayespress.codec.RawTensor("ones", np.ones(3, np.float32))]))
    >>> layout = bayespress.inspect(path)
    >>> layout.size == path.stat().st_size, layout.tensors[0].name
    (True, 'ones')
    """
    from . import codec
    from .deploy.bundle.weights import weights_of

    return codec.layout(weights_of(Path(path)))


@needs("report")
def report(
    path: StrPath, out: StrPath = "report.html", *, bench: StrPath | None = None, overwrite: bool = False
) -> Path:
    """Write the report page of a run directory, of a packed directory, of a bundle or of a report of `bench`.

    out    page to write (.html)
    bench  JSON that `bayespress bench -o` wrote, for the latencies of a packed directory

    Returns the path of the page.

    >>> import pathlib, tempfile, torch, bayespress
    >>> net = bayespress.bayesianize(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)))
    >>> packed = bayespress.compress(net, torch.randn(8, 4), threshold=20.0)
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> record = packed.write(folder / "packed")
    >>> bayespress.report(folder / "packed", folder / "report.html").name
    'report.html'
    """
    from .workflow.report import write_report

    return write_report(Path(path), Path(out), None if bench is None else Path(bench), overwrite=overwrite)


@needs("deploy")
def load(path: StrPath) -> LoadedNetwork | LoadedWeights:
    """Open what was compressed or built, to use it in this process.

    path  of a bundle or a packed directory, which give a network to be called on NumPy arrays; or of a .bpz file, which
          gives its tensors by name, decoded to float32

    A bundle runs its compiled code where it has a target for this machine, and ONNX Runtime elsewhere; a packed
    directory runs in PyTorch.

    Raises InputError when there is nothing of these kinds at `path`, CorruptFileError when it is not sound.

    >>> import bayespress, numpy as np, pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "ones.bpz")
    >>> _ = path.write_bytes(bayespress.codec.encode([bayespress.codec.RawTensor("ones", np.ones(3, np.float32))]))
    >>> bayespress.load(path)["ones"]
    array([1., 1., 1.], dtype=float32)
    """
    from .workflow.load import loaded

    return loaded(Path(path))


def _given(example: Tensor | None) -> Tensor:
    if example is None:
        raise InputError("A network needs an example; give a few inputs (n, ...) from the data as the second argument.")
    return example


def _refuse(arguments: Mapping[str, object], because: str) -> None:
    """Raise InputError for the first argument that was given although it is for another kind of input."""
    for name, value in arguments.items():
        if value is not None and value is not False:
            raise InputError(f"{because}, and {name}= is for another kind of input; leave it out.")


def _check_labels(record: Any, labels: Sequence[str]) -> None:
    outputs = record.output_shape[0] if record.output_shape else 1
    if len(labels) != outputs:
        raise InputError(f"{len(labels)} labels were given for {outputs} outputs; give one for each output.")
