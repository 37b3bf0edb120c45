"""Atomic writing with one writer at a time, and reading of regular files only."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from bayespress import files
from bayespress.errors import InputError


def hidden(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def half(path, error):
    """Write a part of the output and fail."""
    assert not path.exists()
    path.write_bytes(b"half")
    raise error


def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "new" / "deep" / "w.bpz"
    with pytest.raises(ZeroDivisionError), files.replacing_file(path) as temporary:
        half(temporary, ZeroDivisionError)
    assert list(tmp_path.iterdir()) == [], "folders that were made for it are gone too"
    path = tmp_path / "w.bpz"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), files.replacing_file(path) as temporary:
        half(temporary, KeyboardInterrupt)
    assert path.read_bytes() == b"old"
    assert hidden(tmp_path) == []


def test_a_folder_is_replaced_completely_or_not_at_all(tmp_path):
    path = tmp_path / "d"
    for text in ("one", "two"):
        with files.replacing_folder(path) as fresh:
            (fresh / text).write_text(text)
        assert [each.name for each in path.iterdir()] == [text]
    with pytest.raises(ZeroDivisionError), files.replacing_folder(path) as fresh:
        raise ZeroDivisionError
    assert [each.name for each in path.iterdir()] == ["two"]
    assert hidden(tmp_path) == []


def test_a_file_that_appeared_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "w"
    with (
        pytest.raises(InputError, match="Another process has written"),
        files.replacing_file(path, fresh=True) as temporary,
    ):
        [place.write_text(text) for place, text in ((temporary, "ours"), (path, "theirs"))]
    assert path.read_text() == "theirs"


def limited(path, how):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        with files.replacing_file(path) as temporary:
            how(temporary)
    except InputError as error:
        print(error, flush=True)
        os._exit(2)
    os._exit(0)


def by_python(path):
    path.write_bytes(bytes(5000))


def by_safetensors(path):
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"w": np.ones(5000)}, path)


@pytest.mark.parametrize("how", [by_python, by_safetensors], ids=["python", "safetensors"])
def test_a_full_disk_gives_one_sentence_with_the_output(tmp_path, how, capfd):
    process = multiprocessing.get_context("fork").Process(target=limited, args=(tmp_path / "w", how))
    process.start()
    process.join(60)
    assert process.exitcode == 2
    assert "w cannot be written (" in capfd.readouterr().out
    assert list(tmp_path.iterdir()) == []


WRITER = """
import sys, time
from pathlib import Path
from bayespress import files
with files.replacing_folder(Path(sys.argv[1])) as fresh:
    (fresh / "half").write_text("x")
    print("ready", flush=True)
    time.sleep(60)
"""


def start(program, *arguments):
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def age(folder):
    for path in folder.iterdir():
        if path.name.startswith(".bayespress"):
            os.utime(path, (time.time() - 100,) * 2)


def test_the_next_writer_removes_scratch_folders_of_dead_processes_only(tmp_path):
    process = start(WRITER, tmp_path / "d")
    (tmp_path / ".bayespress-scratch-mine").mkdir()  # a name of another length does not belong to bayespress
    try:
        age(tmp_path)
        files.write_text(tmp_path / "other", "x")
        assert len(hidden(tmp_path)) == 2, "in use"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    files.write_text(tmp_path / "other", "x")
    assert hidden(tmp_path) == [".bayespress-scratch-mine"]


def test_whoever_writes_alone_removes_what_was_abandoned_however_young(tmp_path):
    process = start(WRITER, tmp_path / "d")
    try:
        files.remove_abandoned(tmp_path)
        assert len(hidden(tmp_path)) == 1, "in use"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    files.remove_abandoned(tmp_path)
    assert hidden(tmp_path) == []
    files.remove_abandoned(tmp_path / "absent")


@pytest.mark.parametrize("names", [["d"], ["run.json", "posterior"]])
def test_entries_set_aside_by_a_killed_process_are_restored(tmp_path, names):
    retired = tmp_path / ".bayespress-scratch-abcd1234" / "retired"
    retired.mkdir(parents=True)
    for name in names:
        (retired / name).write_text("old")
    age(tmp_path)
    files.write_text(tmp_path / "other", "x")
    assert all((tmp_path / name).read_text() == "old" for name in names)
    assert hidden(tmp_path) == []


def test_parts_of_two_records_are_never_mixed(tmp_path):
    retired = tmp_path / ".bayespress-scratch-abcd1234" / "retired"
    retired.mkdir(parents=True)
    (retired / "run.json").write_text("old")
    (retired / "posterior").write_text("old")
    (tmp_path / "run.json").write_text("new")
    age(tmp_path)
    files.write_text(tmp_path / "other", "x")
    assert not (tmp_path / "posterior").exists()


def test_entries_set_aside_are_restored_after_a_failure(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").mkdir()
    with pytest.raises(KeyboardInterrupt), files.set_aside(tmp_path, ["a", "b", "c"]):
        half(tmp_path / "a", KeyboardInterrupt)
    assert (tmp_path / "a").read_text() == "old"
    assert (tmp_path / "b").is_dir()
    with files.set_aside(tmp_path, ["a", "b"]):
        (tmp_path / "a").write_text("new")
    assert (tmp_path / "a").read_text() == "new"
    assert not (tmp_path / "b").exists()
    assert hidden(tmp_path) == []


LOCKER = """
import sys, time
from pathlib import Path
from bayespress import files
with files.locked(Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_rejects_a_second_writer_and_ignores_a_stale_lock(tmp_path):
    path = tmp_path / "new" / "net.bpz"
    process = start(LOCKER, path)
    try:
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "new")
        for name in (path, link / "net.bpz"):
            refused = pytest.raises(InputError, match=rf"is being written by process {process.pid}; wait")
            with refused, files.locked(name):
                pass
        with files.locked(tmp_path / "new" / "other.bpz"):
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert hidden(tmp_path / "new"), "the killed process left its lock file"
    with files.locked(path):
        pass
    assert hidden(tmp_path / "new") == []


def test_a_thread_may_lock_twice_and_another_thread_may_not(tmp_path):
    refused = []

    def other():
        try:
            with files.locked(tmp_path / "x"):
                pass
        except InputError as error:
            refused.append(str(error))

    with files.locked(tmp_path / "x"), files.locked(tmp_path / "x"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1
    other()
    assert len(refused) == 1
    assert hidden(tmp_path) == []


def test_rejects_files_that_are_not_regular(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "d").mkdir()
    for path, what in (
        (tmp_path / "pipe", "is a pipe"), ("/dev/zero", "is a device"), (tmp_path / "d", "is a folder"),
        (tmp_path / "loop", "Too many levels"), (tmp_path / ("x" * 300), "File name too long"),
        (tmp_path / "a\0b", "null"), (tmp_path / "none", "There is no thing"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=what):
            files.read_bytes(files.Path(path), "thing")


def test_rejects_a_sparse_file_of_a_terabyte_at_once(tmp_path):
    path = tmp_path / "huge.bpz"
    with path.open("wb") as stream:
        stream.write(b"BPZ\x02")
        stream.truncate(1 << 40)
    with pytest.raises(InputError, match=r"has 1,099,511,627,776 bytes, and at most"):
        files.read_bytes(path, "weights file", magic=b"BPZ")
    assert files.read_bytes(path, "weights file", magic=b"PK") == b"BP"


def test_a_read_only_folder_gives_one_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        files.write_text(files.Path("/proc/nothing/here"), "x")
    shutil.copy(sys.executable, tmp_path / "file")
    with pytest.raises(InputError, match="cannot be written"):
        files.write_text(tmp_path / "file" / "below", "x")
