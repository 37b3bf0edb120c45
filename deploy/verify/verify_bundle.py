"""Checks of a bundle: signature, files, weights, and the golden vectors in ONNX Runtime and on devices.

The order matters: no program of a bundle runs before every hash has matched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ... import codec
from ...errors import CorruptFileError, MissingToolError
from ...packed_format import WEIGHTS
from ..bundle.format import GOLDEN_INPUT, GRAPH, Bundle, opened
from ..bundle.sign import check_signature, public_key
from ..bundle.weights import check_weights, decoded_digests
from ..devices import Device, RunRequest, Unavailable, device_named, local_devices
from ..devices.report import TIME_LIMIT
from .checks import Check, VerifyReport, attempt
from .tolerance import check_outputs


def verify_bundle(
    path: Path,
    names: Sequence[str] | None,
    log: Callable[[str], None],
    key: Path | None = None,
    time_limit: float = TIME_LIMIT,
) -> VerifyReport:
    """Check a bundle (folder or zip); see verify.verify for the arguments and the errors."""
    devices = [device_named(name) for name in names] if names else local_devices()
    report = VerifyReport(str(path))
    try:
        with opened(path) as bundle:
            report.checks += _signature(bundle, key, log)
            if all(check.outcome != "failed" for check in report.checks):
                report.checks.append(attempt("files", lambda: _check_files(bundle), log))
            if not report.passed:
                return report
            report.checks.append(attempt("weights", lambda: _check_weights(bundle), log))
            report.checks.append(_onnx_runtime(bundle, log))
            for device in devices:
                check = _on_device(bundle, device, asked=bool(names), limit=time_limit, log=log)
                if check is not None:
                    report.checks.append(check)
    except CorruptFileError as error:
        report.checks.append(Check(name="files", outcome="failed", detail=str(error)))
    return report


def _signature(bundle: Bundle, key: Path | None, log: Callable[[str], None]) -> list[Check]:
    """The check of the signature; an empty list if the bundle is not signed and no key was given."""
    if key is not None:
        public = public_key(key)
        return [attempt("signature", lambda: check_signature(bundle, public, key.name), log)]
    if bundle.signature is not None:
        return [Check("signature", "skipped", "the bundle is signed; give --key to check who signed it")]
    return []


def _check_files(bundle: Bundle) -> str:
    if difference := bundle.first_difference():
        raise CorruptFileError(difference)
    return f"{len(bundle.manifest.files)} files as built"


def _onnx_runtime(bundle: Bundle, log: Callable[[str], None]) -> Check:
    name = "golden vectors, ONNX Runtime"
    missing = [module for module in ("onnx", "onnxruntime") if find_spec(module) is None]
    if missing:
        detail = f"{' and '.join(missing)} not installed (pip install 'bayespress[deploy]')"
        return Check(name=name, outcome="skipped", detail=detail)
    return attempt(name, lambda: _check_onnx(bundle), log)


def _check_onnx(bundle: Bundle) -> str:
    from ..program.export import fill_weights
    from .sessions import onnx_failures, onnx_outputs, onnx_session

    weights = {tensor.name: tensor.values() for tensor in codec.decode(bundle.read(WEIGHTS))}
    graph = fill_weights(bundle.read(GRAPH), weights)
    with onnx_failures():
        outputs = onnx_outputs(onnx_session(graph), bundle.golden_inputs())
    return _compare(bundle, outputs)


def _on_device(
    bundle: Bundle, device: Device, *, asked: bool, limit: float, log: Callable[[str], None]
) -> Check | None:
    """The check of the golden vectors on one device.

    asked  whether the user named the device; if not, the result is None for a device without a target in the bundle
    """
    name = f"golden vectors, {device.description}"
    session = device.connect(bundle, log)
    if isinstance(session, Unavailable):
        if asked:
            raise MissingToolError(f"Device {device.name} cannot be used: {session.reason}.")
        if session.no_target:
            return None
        return Check(name=name, outcome="skipped", detail=session.reason)

    def check() -> str:
        report = session.run(bundle.folder / GOLDEN_INPUT, RunRequest(digests=True, seconds=limit))
        _compare_digests(bundle, report.digests or ())
        half = report.gpu is not None and report.gpu.precision == "float16"
        return _compare(bundle, report.output_array(), half=half)

    with session:
        return attempt(name, check, log)


def _compare_digests(bundle: Bundle, digests: Sequence[int]) -> None:
    """Raise CorruptFileError unless every tensor was decoded to the same values as by the builder."""
    expected = bundle.manifest.decoded
    for name, built, decoded in zip(expected, expected.values(), digests, strict=False):
        if built != decoded:
            raise CorruptFileError(f"Tensor {name} decodes to other values than were built; build the bundle again.")
    if len(digests) != len(expected):
        raise CorruptFileError(
            f"{len(digests)} tensors were decoded, and the file holds {len(expected)}; build the bundle again."
        )


def _check_weights(bundle: Bundle) -> str:
    """Raise CorruptFileError unless the weights decode on this machine to the builder's values."""
    data = bundle.read(WEIGHTS)
    _compare_digests(bundle, [*decoded_digests(codec.decode(data)).values()])
    return check_weights(data)


def _compare(bundle: Bundle, outputs: npt.NDArray[np.float32], *, half: bool = False) -> str:
    expected = bundle.golden_outputs()
    worst = check_outputs(outputs, expected, bundle.golden_tolerance(half=half), half=half)
    precision = " in float16" if half else ""
    return f"{len(expected)} examples{precision}, worst output differs by {worst}"
