"""Settings of all tests: one thread per worker, and an option to treat skipped tests as failures."""

from __future__ import annotations

import os
import signal

import pytest

# Workers share the cores, so each uses one thread. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests send signals to the commands that they start. In a background run (nohup, a CI runner) these signals may be
# ignored from the start, and every child process would inherit this.
for _signal, _handler in (
    (signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL), (signal.SIGTERM, signal.SIG_DFL)
):  # fmt: skip
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, _handler)

NO_SKIPS = "BAYESPRESS_NO_SKIPS"


class _SkipsAreFailures:
    """Reports every skipped test as a failure, for machines on which everything that tests need is installed."""

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
    # With xdist the controller receives the reports of all workers, so one listener there is sufficient.
    if os.environ.get(NO_SKIPS) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_SkipsAreFailures())
