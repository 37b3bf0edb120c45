"""Output of devices, valid and hostile: the report's schema, other output around it, limits of size and time."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from bundles import run_on, with_runner

import bayespress
from bayespress.deploy.bundle.format import GOLDEN_INPUT, Bundle, opened
from bayespress.deploy.devices.base import limits_of, silent
from bayespress.deploy.devices.process import Limits, OverTimeError, run_program
from bayespress.deploy.devices.report import MARKER, RunRequest, parse_report
from bayespress.errors import BayespressError, CheckFailedError, MissingToolError

pytestmark = pytest.mark.xdist_group("deploy")

SOUND = {
    "load_ns": 1200,
    "workspace_bytes": 640,
    "first_ns": 300,
    "outputs": [[0.5, -1e-9], [None, 3]],
    "digests": [0, 4294967295],
    "run_ns": {"repeat": 5, "min": 1, "p10": 2, "median": 3, "p90": 4, "p99": 5},
    "layers": [{"kernel": "fc: dense", "mean_ns": 12.5}],
    "batch_ns": {"examples": 2, "threads": 2, "repeat": 5, "min": 3, "median": 4},
    "facts": dict.fromkeys(("peak_kb", "cpu", "hardware", "part", "governor", "temperature_c")),
    "gpu": {"name": "pocl", "precision": "float32", "from_cache": True, "open_ns": 1, "load_ns": 2},
}


def framed(report: object) -> bytes:
    return MARKER + (report if isinstance(report, bytes) else json.dumps(report).encode()) + b"\n"


def changed(**fields: object) -> bytes:
    return framed(SOUND | fields)


def test_a_report_in_several_lines_between_other_output():
    text = json.dumps(SOUND).encode()
    pieces = [text[at : at + 50] for at in range(0, len(text), 50)]
    printed = b"driver: hello\n".join(framed(piece) for piece in pieces)
    assert parse_report(printed, "board") == parse_report(framed(SOUND), "board")


def test_the_runner_prints_long_reports_completely(pristine, tmp_path):
    """The report is longer than one line of the runner."""
    inputs = np.random.default_rng(0).normal(size=(5000, 16)).astype("<f4")
    (tmp_path / "x.f32").write_bytes(inputs.tobytes())
    with opened(pristine) as it:
        report = run_on("host", it, tmp_path / "x.f32")
    assert np.isfinite(report.output_array()).all()
    assert len(report.outputs) == 5000


@pytest.mark.parametrize(
    "noise",
    [
        (b"", b""),
        (b"Welcome to Board!\n\x1b[31m\xff\xfe", b""),
        (b'{"load_ns": 1}\n', b'{"outputs": []}\n'),
        (b"warning: no newline", b"logout\n"),
        (b"\r\n", b"\r\n"),
    ],
)
def test_other_output_around_the_report(noise):
    report = parse_report(noise[0] + framed(SOUND) + noise[1], "board")
    assert report.digests == [0, 4294967295]
    np.testing.assert_array_equal(report.output_array(), np.array([[0.5, -1e-9], [np.nan, 3]], np.float32))
    assert report.run_ns is not None
    assert report.run_ns.median == 3


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        (b"", "no report, and one was expected"),
        (b"Welcome\n", "no report .it printed 'Welcome'."),
        (json.dumps(SOUND).encode(), "no report"),
        (framed(SOUND) * 2, "does not match the schema"),
        (MARKER, "does not match the schema"),
        (framed(b"null"), "does not match the schema"),
        (framed(b"[]"), "does not match the schema"),
        (framed(b"7"), "does not match the schema"),
        (framed(b"{"), "does not match the schema"),
        (framed(json.dumps(SOUND).encode()[:-20]), "does not match the schema"),
        (framed(b"\xff\xfe\x00"), "does not match the schema"),
        (framed(b'{"load_ns": "\xff"}'), "does not match the schema"),
        (framed(b"[" * 1_000_000), "does not match the schema"),
        (framed(b'{"outputs": ' + b"[" * 1_000_000), "does not match the schema"),
        (framed(b'{"a":' * 100_000), "does not match the schema"),
        (framed({}), "load_ns: Field required"),
        (changed(surplus=1), "surplus: Extra inputs"),
        (changed(**{"\x1b[31m" * 5000: 1}), "does not match the schema"),
        (changed(load_ns=-1), "load_ns"),
        (changed(load_ns="7"), "load_ns"),
        (changed(load_ns=True), "load_ns"),
        (changed(load_ns=None), "load_ns"),
        (changed(load_ns=float("nan")), "load_ns"),
        (changed(load_ns=float("inf")), "load_ns"),
        (framed(json.dumps(SOUND).replace("1200", "1e999").encode()), "load_ns"),
        (framed(json.dumps(SOUND).replace("1200", "9" * 10_000).encode()), "number out of range"),
        (changed(workspace_bytes=1.5), "workspace_bytes"),
        (changed(workspace_bytes=10**40), "workspace_bytes"),
        (changed(outputs=None), "outputs"),
        (changed(outputs=[1.0]), "outputs.0"),
        (changed(outputs=[["1"]]), "outputs.0.0"),
        (changed(outputs=[[float("nan")]]), "outputs.0.0"),
        (changed(outputs=[[[1.0]]]), "outputs.0.0"),
        (changed(outputs={"0": [1.0]}), "outputs"),
        (changed(digests=[-1]), "digests.0"),
        (changed(digests=[2**32]), "digests.0"),
        (changed(digests=["a"]), "digests.0"),
        (changed(run_ns={}), "run_ns"),
        (changed(run_ns=SOUND["run_ns"] | {"p99": 0}), "not in ascending order"),
        (changed(run_ns=SOUND["run_ns"] | {"repeat": 0}), "run_ns.repeat"),
        (changed(layers=[{"kernel": 7, "mean_ns": 1}]), "layers.0.kernel"),
        (changed(layers=[{"kernel": "a" * 100_000, "mean_ns": 1}]), "layers.0.kernel"),
        (changed(facts={}), "facts"),
        (changed(gpu={"precision": "float64"}), "gpu"),
        (changed(gpu=SOUND["gpu"] | {"precision": "float64"}), "gpu.precision"),
    ],
)
def test_rejects_anything_but_a_report(printed, reason):
    with pytest.raises(CheckFailedError, match=rf"The runner on board printed .*{reason}") as caught:
        parse_report(printed, "board")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def refused(printed: bytes) -> bool:
    """Whether the report is rejected with a printable message. Any other error passes through."""
    try:
        parse_report(printed, "board")
    except CheckFailedError as error:
        return str(error).isprintable() or pytest.fail(repr(str(error)))
    return False


def test_random_reports_give_no_other_error():
    """Replaces each value of a valid report by one of another type, and changes bytes at random."""
    kinds = [None, True, -1, 0, 1.5, 10**30, "", "x", "\u202e", [], [[]], {}, {"": []}, [None], [[None]]]
    random.seed(0)
    for name in SOUND:
        for kind in kinds:
            refused(changed(**{name: kind}))
    sound = framed(SOUND)
    for _ in range(3000):
        data = bytearray(sound)
        for _ in range(random.randint(1, 4)):
            data[random.randrange(len(data))] = random.randrange(256)
        refused(bytes(data))


def test_names_are_made_safe_to_print():
    facts = SOUND["facts"] | {"cpu": "\x1b[31mCortex\u202e"}
    report = parse_report(changed(facts=facts), "board")
    assert report.facts is not None
    assert report.facts.cpu == "\\x1b[31mCortex\\u202e"


def test_endless_output_is_stopped():
    program = [sys.executable, "-c", "import sys\nwhile True: sys.stdout.write('x' * 65536)"]
    with pytest.raises(CheckFailedError, match=r"board printed more than 1000000 bytes"):
        run_program(program, "board", Limits(60, 1_000_000))


def test_long_error_text_is_truncated():
    program = [sys.executable, "-c", "import sys\nfor _ in range(400): sys.stderr.write('y' * 65536)\nprint('done')"]
    finished = run_program(program, "board", Limits(60))
    assert (finished.status, finished.output) == (0, b"done\n")
    assert len(finished.errors) == 65536


def test_large_input_and_output_do_not_deadlock(tmp_path):
    """A program that writes while it still reads does not block, and neither does the reader."""
    size = 8 << 20
    (tmp_path / "large").write_bytes(bytes(size))
    finished = run_program(["cat"], "board", Limits(60, 2 * size), stdin=tmp_path / "large")
    assert len(finished.output) == size


def test_a_hanging_program_is_ended_with_its_children(tmp_path):
    steps = []
    script = f"sleep 300 & echo $! >{tmp_path}/pid; trap '' TERM; wait; sleep 300"
    before = time.monotonic()
    with pytest.raises(OverTimeError, match=r"board did not end within 0.5 seconds and was stopped; .*--time-limit"):
        run_program(["sh", "-c", script], "board", Limits(0.5, step=steps.append))
    assert time.monotonic() - before < 20
    time.sleep(0.1)
    status = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    assert not status.exists() or status.read_text().split()[2] == "Z"


def test_progress_while_a_program_runs(monkeypatch):
    from bayespress.deploy.devices import process

    monkeypatch.setattr(process, "_SECONDS_BETWEEN_STEPS", 0.2)
    steps = []
    run_program(["sleep", "1"], "board", Limits(60, step=steps.append))
    assert steps[0] == "board: running for 0 s, stopped after 60 s"


def test_does_not_wait_for_a_daemon_that_keeps_pipes_open():
    """adb starts its server in this way."""
    before = time.monotonic()
    finished = run_program(["sh", "-c", "setsid sleep 20 & echo started"], "board", Limits(60))
    assert finished.output == b"started\n"
    assert time.monotonic() - before < 10


def test_ctrl_c_ends_the_program(tmp_path):
    pid = tmp_path / "pid"

    def interrupt() -> None:
        """Send SIGINT as soon as the program runs."""
        while not (pid.exists() and pid.read_text().endswith("\n")):
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_program(["sh", "-c", f"echo $$ >{pid}; exec sleep 300"], "board", Limits(60))
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


def sound_report(bundle: Path) -> dict[str, object]:
    """The report of the host's runner on the golden inputs."""
    with opened(bundle) as it:
        report = run_on("host", it, bundle / GOLDEN_INPUT, RunRequest(digests=True))
    return report.model_dump(exclude_none=True, exclude={"layers", "instructions"})


def printing(report: object) -> str:
    return f"#!/bin/sh\ncat <<'END'\nMOTD: [red]hello\n{framed(report).decode()}bye\nEND\n"


def on_host(bundle: Path):
    (check,) = (each for each in bayespress.verify(bundle, ["host"]).checks if "host runner" in each.name)
    return check


def test_a_report_of_a_runner_between_other_output(bundle):
    report = sound_report(bundle)
    assert on_host(with_runner(bundle, printing(report))).outcome == "passed"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"outputs": []}, "printed 0 rows of outputs, and 8 were expected"),
        ({"outputs": [[]] * 8}, "printed 0 outputs in a row"),
        ({"digests": []}, "printed 0 digests of tensors"),
        ({"digests": None}, "printed 0 digests of tensors"),
        ({"run_ns": SOUND["run_ns"]}, "printed 1 lists of times, and 0 were expected"),
        ({"outputs": [[None, None, None]] * 8}, "is nan instead of|outputs in a row"),
        ({"surplus": 1}, "does not match the schema"),
    ],
)
def test_rejects_reports_that_do_not_match_the_request(bundle, change, reason):
    with opened(bundle) as it:
        width = it.manifest.output_shape[-1]
        examples = it.manifest.golden_examples
    if "outputs" in change:
        change = {"outputs": [row[:1] * width if row else row for row in change["outputs"]][:examples]}
    check = on_host(with_runner(bundle, printing(sound_report(bundle) | change)))
    assert check.outcome == "failed"
    assert re.search(reason.replace("8 were", f"{examples} were"), check.detail), check.detail


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("kill -ILL $$", "stopped at an illegal instruction: the target was built for another processor"),
        ("kill -SEGV $$", "accessed invalid memory"),
        ("kill -KILL $$", "the system ran out of memory"),
        ("kill -USR1 $$", "signal 10 ended it"),
        ("exit 3", "it ended with status 3"),
        ("exit 127", "loader is missing there (status 127)"),
        ("exit 126", "cannot be executed on host (status 126)"),
        ("head -c 100000 /dev/zero >&2; exit 5", "it ended with status 5"),
        ("kill -FPE $$", "stopped at an arithmetic fault"),
        ("exec >&- 2>&-; sleep 0.2", "printed no report"),
        ("(setsid timeout 5 yes &); exit 1", "printed more than"),
        ("printf 'bad \\033[31m\\377\\n' >&2; exit 1", "bad \\x1b[31m\ufffd"),
        ("echo 'runner: the weights are wrong.' >&2; exit 1", "The runner failed on host: the weights are wrong."),
        ("echo 'write: No space left on device' >&2; exit 1", "its disk is full; free some space there"),
        ("exit 0", "printed no report"),
    ],
)
def test_runners_that_fail(bundle, script, sentence):
    with_runner(bundle, f"#!/bin/sh\n{script}\n")
    with opened(bundle) as it, pytest.raises(BayespressError) as caught:
        run_on("host", it, bundle / GOLDEN_INPUT)
    assert sentence in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_runners_that_the_system_cannot_start(bundle, tmp_path):
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + (0x1234).to_bytes(2, "little") + bytes(44)
    with (
        opened(with_runner(bundle, header)) as it,
        pytest.raises(CheckFailedError, match="runner is a program for another processor than that of host"),
    ):
        run_on("host", it, bundle / GOLDEN_INPUT)
    with opened(with_runner(bundle, b"")) as it, pytest.raises(BayespressError, match="host"):
        run_on("host", it, bundle / GOLDEN_INPUT)
    program = tmp_path / "program"
    with pytest.raises(MissingToolError, match=r"cannot be started on host \(No such file"):
        run_program([str(program)], "host", Limits(60))
    program.write_text("#!/bin/sh\n")
    with pytest.raises(MissingToolError, match="may not be executed on host"):
        run_program([str(program)], "host", Limits(60))


def test_a_runner_is_stopped_at_its_time_limit(bundle):
    with_runner(bundle, "#!/bin/sh\nwhile true; do :; done\n")
    report = bayespress.verify(bundle, ["host"], time_limit=0.5)
    assert report.checks[-1].detail.startswith("host did not end within 0.5 seconds and was stopped")


@pytest.mark.parametrize("folder", ["-x", "a:b", "with space", "quo'te\"", "per%25cent?"])
def test_unusual_names_of_bundles(pristine, tmp_path, folder, monkeypatch):
    shutil.copytree(pristine, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    assert bayespress.verify(Path(folder), ["host"]).passed


def test_the_runner_prints_the_requested_fields(pristine):
    request = RunRequest(outputs=False, repeat=3, warmup=0, layers=True, threads=2, digests=True, facts=True)
    with opened(pristine) as it:
        report = run_on("host", it, pristine / GOLDEN_INPUT, request)
    assert report.outputs == []
    assert report.batch_ns is not None
    assert (report.batch_ns.threads, report.batch_ns.examples) == (2, it.manifest.golden_examples)
    assert report.facts is not None
    assert len(report.layers) >= 3
    assert report.digests == [*it.manifest.decoded.values()]
    assert isinstance(it, Bundle)
    longer = request.model_copy(update={"outputs": True})
    assert limits_of(longer, it, 1, silent).output_bytes > limits_of(request, it, 1, silent).output_bytes
    assert os.access(pristine / it.manifest.targets["host"].runner, os.X_OK)
