"""Is this bundle, or this `.bpz`, what was built, and does it compute what PyTorch computed?

The order matters: no program of a bundle is run before every hash has matched.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from .. import codec
from ..codec import reference
from ..errors import BayespressError, CorruptFileError, MissingToolError
from ..files import read_bytes
from ..handover import WEIGHTS
from .bundle import GOLDEN_INPUT, GOLDEN_OUTPUT, GRAPH, Bundle, opened
from .devices import DEVICES, device_named
from .devices.base import Device

if TYPE_CHECKING:
    from collections.abc import Iterable

# Largest absolute difference of an output from PyTorch's.
TOLERANCE = 1e-4


class Check(BaseModel):
    """One check and what came of it."""

    name: str
    outcome: Literal["passed", "failed", "skipped"]
    detail: str


class VerifyReport(BaseModel):
    """All checks in the order in which they were made; those after a failure of the files are not made."""

    path: str
    checks: list[Check]

    @property
    def passed(self) -> bool:
        """Whether no check failed. Skipped ones say why, and are for the reader to judge."""
        return all(check.outcome != "failed" for check in self.checks)


def verify(
    path: Path, devices: Sequence[str] | None = None, progress: Callable[[str], None] | None = None
) -> VerifyReport:
    """Check a bundle (folder or zip) or a bare `.bpz`.

    devices  where to run the golden vectors; by default all, each that is unavailable skipped with its reason

    Raises InputError when there is nothing to check at `path`, MissingToolError when a device that was asked for
    by name is unavailable. A mismatch is no exception: it is a failed check.
    """
    tell = progress or (lambda _step: None)
    chosen = [device_named(name) for name in devices] if devices else list(DEVICES.values())
    if path.is_dir() or zipfile.is_zipfile(path) or path.suffix == ".zip":
        return _verify_bundle(path, chosen, asked=devices is not None, tell=tell)
    data = read_bytes(path, "bundle or .bpz file")
    return VerifyReport(path=str(path), checks=[_attempt("weights", lambda: _check_weights(data), tell)])


def _verify_bundle(path: Path, devices: Iterable[Device], *, asked: bool, tell: Callable[[str], None]) -> VerifyReport:
    report = VerifyReport(path=str(path), checks=[])
    try:
        with opened(path) as bundle:
            report.checks.append(_attempt("files", lambda: _check_files(bundle), tell))
            if not report.passed:
                return report
            report.checks.append(_attempt("weights", lambda: _check_weights(bundle.read(WEIGHTS)), tell))
            report.checks.append(_onnx_runtime(bundle, tell))
            for device in devices:
                report.checks.append(_on_device(bundle, device, asked=asked, tell=tell))
    except CorruptFileError as error:
        report.checks.append(Check(name="files", outcome="failed", detail=str(error)))
    return report


def _attempt(name: str, check: Callable[[], str], tell: Callable[[str], None]) -> Check:
    tell(name)
    try:
        return Check(name=name, outcome="passed", detail=check())
    except MissingToolError:
        raise
    except BayespressError as error:
        return Check(name=name, outcome="failed", detail=str(error))


def _check_files(bundle: Bundle) -> str:
    if difference := bundle.first_difference():
        raise CorruptFileError(difference)
    return f"{len(bundle.manifest.files)} files as built"


def _check_weights(data: bytes) -> str:
    """Decode by the C core and by the reference decoder, and compare to the last bit."""
    pairs = list(zip(codec.decode(data), reference.decode(data), strict=True))
    for ours, theirs in pairs:
        a, b = ours.values(), theirs.values()
        if ours.name != theirs.name or a.shape != b.shape or a.tobytes() != b.tobytes():
            raise CorruptFileError(f"The C core and the reference decoder disagree on tensor {theirs.name}.")
    return f"{len(pairs)} tensors, C core and reference decoder agree"


def _onnx_runtime(bundle: Bundle, tell: Callable[[str], None]) -> Check:
    name = "golden vectors, ONNX Runtime"
    missing = [module for module in ("onnx", "onnxruntime") if find_spec(module) is None]
    if missing:
        detail = f"{' and '.join(missing)} not installed (pip install 'bayespress[deploy]')"
        return Check(name=name, outcome="skipped", detail=detail)
    return _attempt(name, lambda: _check_onnx(bundle), tell)


def _check_onnx(bundle: Bundle) -> str:
    from .export import fill_weights
    from .sessions import onnx_session

    weights = {tensor.name: tensor.values() for tensor in codec.decode(bundle.read(WEIGHTS))}
    session = onnx_session(fill_weights(bundle.read(GRAPH), weights))
    inputs = golden_inputs(bundle)
    return _compare(bundle, np.concatenate([session.run(None, {"input": example[None]})[0] for example in inputs]))


def _on_device(bundle: Bundle, device: Device, *, asked: bool, tell: Callable[[str], None]) -> Check:
    name = f"golden vectors, {device.description}"
    if (unavailable := device.unavailable(bundle)) is not None:
        if asked:
            raise MissingToolError(f"Device {device.name} cannot be used: {unavailable.reason}.")
        return Check(name=name, outcome="skipped", detail=unavailable.reason)

    def check() -> str:
        outputs = device.run(bundle, bundle.folder / GOLDEN_INPUT)["outputs"]
        return _compare(bundle, np.array(outputs, np.float32))

    return _attempt(name, check, tell)


def golden_inputs(bundle: Bundle) -> npt.NDArray[np.float32]:
    """Golden inputs, (n, *input_shape)."""
    data = np.frombuffer(bundle.read(GOLDEN_INPUT), "<f4")
    return data.reshape(bundle.manifest.golden_examples, *bundle.manifest.input_shape).astype(np.float32)


def _compare(bundle: Bundle, outputs: npt.NDArray[np.float32]) -> str:
    expected = np.frombuffer(bundle.read(GOLDEN_OUTPUT), "<f4").reshape(bundle.manifest.golden_examples, -1)
    if outputs.size != expected.size:
        raise CorruptFileError(f"{outputs.size} outputs came, and {expected.size} were expected.")
    difference = float(np.abs(outputs.reshape(expected.shape) - expected).max())
    if not difference <= TOLERANCE:  # NaN fails too
        raise CorruptFileError(
            f"An output differs by {difference:.3g} from PyTorch's; at most {TOLERANCE:g} is allowed."
        )
    return f"{len(expected)} examples, largest difference {difference:.1e}"
