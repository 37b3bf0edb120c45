"""What all tests share: one thread a worker, and a way to insist that nothing is skipped."""

from __future__ import annotations

import os
import signal

import pytest

# Workers share the cores: threads of their own would only stand in each other's way. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests send signals to commands that they start. A test run in the background (nohup, a CI runner) may have been
# started with these signals ignored, and every program would inherit that.
for _signal, _handler in (
    (signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL), (signal.SIGTERM, signal.SIG_DFL)
):  # fmt: skip
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, _handler)

NO_SKIPS = "BAYESPRESS_NO_SKIPS"


class _SkipsAreFailures:
    """Where everything that tests need is installed, a skipped test is a check that was promised and not made."""

    def __init__(self):
        self.skipped = []

    def pytest_runtest_logreport(self, report):
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped.append(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        if self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        for name in self.skipped:
            terminalreporter.write_line(f"skipped, and {NO_SKIPS} is set: {name}", red=True)


def pytest_configure(config):
    # With xdist the reports of all workers come to the controller, so one listener there is enough.
    if os.environ.get(NO_SKIPS) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_SkipsAreFailures())
