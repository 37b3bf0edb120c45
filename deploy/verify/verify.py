"""Is this bundle, or this `.bpz`, what was built?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ...errors import InputError
from ...files import StrPath, check_input, read_bytes
from ...optional import needs
from ..bundle.weights import check_weights, is_bundle
from .checks import VerifyReport, attempt, check_time_limit


@needs("deploy")
def verify(
    path: StrPath,
    devices: Sequence[str] | None = None,
    progress: Callable[[str], None] | None = None,
    *,
    key: StrPath | None = None,
    time_limit: float = 300.0,
) -> VerifyReport:
    """Check a bundle (folder or zip) or a bare `.bpz`.

    devices  where to run the golden vectors; by default all that need no address, each that is unavailable skipped
             with its reason
    key      public key in PEM by whose owner a bundle has to be signed
    time_limit  seconds after which one run on a device is stopped

    Raises InputError when there is nothing to check at `path` or a device is unknown, MissingToolError when a
    device that was asked for by name is unavailable. A mismatch is no exception: it is a failed check.

    >>> import pathlib, tempfile, torch, bayespress
    >>> net = bayespress.bayesianize(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)))
    >>> packed = bayespress.compress(net, torch.randn(8, 4), threshold=20.0)
    >>> bundle = pathlib.Path(tempfile.mkdtemp(), "net.bundle")
    >>> manifest = bayespress.build(packed, ["host"], bundle)
    >>> report = bayespress.verify(bundle)
    >>> report.passed, [check.name for check in report.checks][:2]
    (True, ['files', 'weights'])
    """
    log = progress or (lambda _step: None)
    path, key = Path(path), None if key is None else Path(key)
    check_input(path, "bundle or .bpz file")
    check_time_limit(time_limit)
    if devices:
        from ..devices import device_named

        for name in devices:
            device_named(name)
    if is_bundle(path):
        from .verify_bundle import verify_bundle

        return verify_bundle(path, devices, log, key, time_limit)
    data = read_bytes(path, "bundle or .bpz file", magic=b"BPZ")
    if key is not None:
        raise InputError(f"{path} holds weights, which are not signed; give the bundle, or no key.")
    if devices:
        raise InputError(f"{path} holds weights and no program for a device; give the bundle, or no device.")
    return VerifyReport(str(path), [attempt("weights", lambda: check_weights(data), log)])
