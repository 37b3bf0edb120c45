"""The command `verify`: check that a bundle or a `.bpz` is unchanged and computes the right outputs."""

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

    devices     names or addresses of the devices that run the golden vectors; by default all devices without an
                address, where an unavailable one is skipped with the reason
    progress    called with a line of text before each check
    key         public key in PEM; the bundle must be signed by its owner
    time_limit  seconds after which a run on a device is stopped

    Raises InputError if there is nothing to check at `path` or a device is unknown, MissingToolError if a device that
    was named is unavailable. A mismatch raises no exception; it is a failed check in the report.

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
        raise InputError(f"{path} holds only weights, which have no signature; give the bundle, or no key.")
    if devices:
        raise InputError(f"{path} holds only weights and no program for a device; give the bundle, or no device.")
    return VerifyReport(str(path), [attempt("weights", lambda: check_weights(data), log)])
