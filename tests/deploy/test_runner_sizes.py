"""The runner's arguments, files and sizes, with a network of two numbers in place of a compiled one: under the
sanitizers here, and where a size_t has 32 bits.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from bayespress import codec
from bayespress.deploy.compile.targets import target_named
from bayespress.deploy.compile.toolchain import c_compiler
from bayespress.deploy.devices.qemu import ARMV7

ROOT = Path(__file__).resolve().parents[2]
RUNTIME, CODEC = ROOT / "deploy" / "runtime", ROOT / "codec" / "c"
QUIET = {"ASAN_OPTIONS": "detect_leaks=0"}  # a program that ends with an error message need not free its memory

NETWORK = """
#define main runner_main
#include "runner.c"
#undef main

static size_t output_size = 2;

size_t bp_input_size(void) { return 2; }
size_t bp_output_size(void) { return output_size; }
size_t bp_workspace_size(void) { return 128; }
size_t bp_arena_size(void) { return 64; }
size_t bp_kernel_count(void) { return 1; }
const char *bp_kernel_name(size_t index) { return index == 0 ? "copy" : NULL; }
const char *bp_status_text(bp_status status) { return status == BP_OK ? "no error" : "an error"; }

bp_status bp_load(bp_network *network, const void *bpz, size_t size, void *workspace, size_t workspace_size) {
    bpz_file file;
    network->weights_status = (int)bpz_open(&file, bpz, size);
    network->weights = workspace;
    network->arena = (unsigned char *)workspace + 64;
    return network->weights_status != BPZ_OK ? BP_ERROR_WEIGHTS
           : workspace_size < 128            ? BP_ERROR_WORKSPACE
                                             : BP_OK;
}

bp_status bp_fork(bp_network *fork, const bp_network *network, void *arena, size_t size) {
    *fork = *network;
    fork->arena = arena;
    return size == 64 ? BP_OK : BP_ERROR_WORKSPACE;
}

bp_status bp_run_timed(const bp_network *network, const float *input, float *output, bp_clock clock, uint64_t *times) {
    memcpy(network->arena, input, 8);
    memcpy(output, network->arena, 8);
    if (clock != NULL) {
        times[0] = clock();
    }
    return BP_OK;
}

bp_status bp_run(const bp_network *network, const float *input, float *output) {
    return bp_run_timed(network, input, output, NULL, NULL);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "percentiles") == 0) {
        printf("%zu %zu %zu\\n", percentile(100000000ul, 99), percentile(100000000ul, 90), percentile(1, 99));
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "allocate") == 0) {
        checked_alloc((uint64_t)1 << 61, 8); /* 0 bytes, to who multiplies in 64 bits */
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "allocate32") == 0) {
        checked_alloc((uint64_t)1 << 29, 8); /* 0 bytes, to who multiplies in 32 bits */
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "batch") == 0) {
        /* So many outputs that the batch's are 2^32 + 8 bytes: four examples of 2^28 numbers, and a bit. */
        bp_network network;
        unsigned char arena[64];
        const float inputs[8] = {0};
        memset(&network, 0, sizeof network);
        network.arena = arena;
        output_size = ((size_t)1 << 28) + 1;
        print_batch_times(&network, inputs, 4, 1, 1);
        return 0;
    }
    return runner_main(argc, argv);
}
"""


def sources() -> list[Path]:
    return [RUNTIME / "threads.c", *(path for path in sorted(CODEC.glob("*.c")) if path.name != "encode.c")]


def compiled(compiler, folder: Path, *flags: str) -> Path:
    (folder / "network.c").write_text(NETWORK)
    program = folder / "runner"
    flags = ("-std=c99", "-g", "-O1", *flags, f"-I{RUNTIME}", f"-I{CODEC}")
    command = [*compiler, *flags, folder / "network.c", *sources(), "-lm", "-pthread", "-o", program]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The runner compiled with sanitizers."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc, whose sanitizers this test asks for, is not installed")
    folder = tmp_path_factory.mktemp("here")
    return [str(compiled(["gcc"], folder, "-fsanitize=address,undefined", "-fno-sanitize-recover=all"))]


@pytest.fixture(scope="module")
def armv7(tmp_path_factory):
    """The runner for a 32-bit machine, in emulation."""
    if ARMV7.path() is None:
        pytest.skip("qemu-arm, which runs 32-bit ARM programs, is not installed (Debian: qemu-user-static)")
    target = target_named("armv7-linux")
    folder = tmp_path_factory.mktemp("armv7")
    return [str(ARMV7.path()), str(compiled([*c_compiler(target.triple), *target.flags], folder, "-static"))]


@pytest.fixture
def files(tmp_path):
    """Weights, three inputs, and invalid files."""
    import numpy as np

    weights = codec.encode([codec.RawTensor("w", np.ones((2, 3), np.float32))])
    contents = {
        "w": weights,
        "x": bytes(24),
        "empty": b"",
        "odd": bytes(9),
        "cut": weights[:-1],
        "noise": bytes(range(256)),
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder").mkdir()
    (tmp_path / "unreadable\nname").symlink_to("/nowhere")
    return tmp_path


def run(command, folder, *arguments):
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, timeout=120, cwd=folder, errors="replace",
        env=os.environ | QUIET,
    )  # fmt: skip


def report(done) -> dict:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout[done.stdout.index("{") :])


@pytest.mark.parametrize("where", ["here", "armv7"])
def test_a_valid_call(where, files, request):
    command = request.getfixturevalue(where)
    reported = report(
        run(command, files, "w", "x", "--repeat", "200", "--layers", "--threads", "3", "--digests", "--facts")
    )
    assert reported["outputs"] == [[0, 0]] * 3
    assert reported["run_ns"]["repeat"] == 200
    assert reported["run_ns"]["median"] <= reported["run_ns"]["p99"]
    assert reported["batch_ns"]["examples"] == 3
    assert len(reported["digests"]) == 1


NUMBERS = ["", "-1", " 5", "+5", "5 ", "0x10", "1e3", "100000001", "4294967297", "18446744073709551617", "9" * 400,
           "five", "--layers", "٣", "5\n"]  # fmt: skip


@pytest.mark.parametrize("where", ["here", "armv7"])
def test_rejects_invalid_numbers(where, files, request):
    command = request.getfixturevalue(where)
    for option in ("--repeat", "--warmup", "--threads"):
        for number in NUMBERS:
            done = run(command, files, "w", "x", option, number)
            assert done.returncode == 2, (option, number, done.stderr)
            assert f"{option} needs a number from 0 to 100000000, not" in done.stderr
        assert run(command, files, "w", "x", option).returncode == 2
    assert "65 threads are too many; 64 is the most" in run(command, files, "w", "x", "--threads", "65").stderr


@pytest.mark.parametrize("where", ["here", "armv7"])
def test_rejects_invalid_files(where, files, request):
    command = request.getfixturevalue(where)
    for name in ("missing", "folder", "unreadable\nname", ""):
        for paths in ((name, "x"), ("w", name)):
            done = run(command, files, *paths)
            assert (done.returncode, "cannot be read" in done.stderr) == (2, True), (paths, done.stderr)
    for name, size in (("empty", 0), ("odd", 9)):
        assert f"{name} has {size} bytes, and one input has 8" in run(command, files, "w", name).stderr
    for name in ("empty", "cut", "noise", "x"):
        assert run(command, files, name, "x").returncode == 1
    assert run(command, files, "w").returncode == 2
    assert run(command, files, "w", "x", "x").returncode == 2


@pytest.mark.parametrize("where", ["here", "armv7"])
def test_sizes_are_counted_in_64_bits(where, files, request):
    command = request.getfixturevalue(where)
    assert run(command, files, "percentiles").stdout == "99000000 90000000 0\n"
    refused = run(command, files, "allocate")
    assert (refused.returncode, refused.stderr) == (
        1, "runner: 2305843009213693952 times 8 bytes of memory are not to be had.\n",
    )  # fmt: skip


def test_sizes_that_wrap_on_32_bits(armv7, files):
    for case, count, size in (("allocate32", 1 << 29, 8), ("batch", 4 * ((1 << 28) + 1), 4)):
        refused = run(armv7, files, case)
        assert refused.returncode == 1, refused
        assert f"{count} times {size} bytes" in refused.stderr


def test_a_file_larger_than_memory(here, files):
    with (files / "huge").open("wb") as stream:
        stream.truncate(1 << 42)  # a sparse file uses no disk space
    limited = ["bash", "-c", 'ulimit -v 4000000; exec "$0" "$@"']
    program = compiled(["gcc"], files)
    done = run([*limited, str(program)], files, "w", "huge")
    assert (done.returncode, "there is no memory for huge, of more than" in done.stderr) == (1, True), done.stderr


def test_a_report_that_cannot_be_written(here, files):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*here, "w", "x"], stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=files,
                              env=os.environ | QUIET)  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "runner: the report cannot be written; is the disk full?\n")


def test_random_calls_under_the_sanitizers(here, files):
    """For any arguments, the runner ends with one of its own statuses and a message."""
    rng = random.Random(7)
    names = ["w", "x", "empty", "odd", "cut", "noise", "folder", "missing", ""]
    options = [
        "--repeat",
        "--warmup",
        "--threads",
        "--layers",
        "--digests",
        "--facts",
        "--gpu",
        "--gpu-cache",
        "--",
        "-",
    ]
    numbers = ["0", "1", "2", "7", "64", "65", *NUMBERS]
    whole = (files / "w").read_bytes()
    for _ in range(150):
        noise = bytearray(whole[: rng.randrange(len(whole) + 1)] if rng.random() < 0.5 else whole)
        for _ in range(rng.randrange(4)):
            if noise:
                noise[rng.randrange(len(noise))] = rng.randrange(256)
        (files / "noise").write_bytes(noise + rng.randbytes(rng.choice([0, 0, 3])))
        (files / "odd").write_bytes(rng.randbytes(rng.choice([8, 16, 80, 7])))
        arguments = rng.choices([*names[:6], *names, *options, *numbers], k=rng.randrange(7))
        if rng.random() < 0.7:
            arguments = [rng.choice(["w", "noise"]), rng.choice(["x", "odd"]), *arguments]
        done = run(here, files, *arguments)
        assert done.returncode in (0, 1, 2), (arguments, done.stderr)
        assert "Sanitizer" not in done.stderr, (arguments, done.stderr)
        assert "runtime error" not in done.stderr, (arguments, done.stderr)
        if done.returncode == 0:
            report(done)
        else:
            assert done.stderr.startswith(("runner: ", "usage: ")), (arguments, done.stderr)
