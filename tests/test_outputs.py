"""The rules for writing outputs: what each kind of output may replace, and what is never replaced."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from bayespress import codec, outputs
from bayespress.cli.decode import decoded_kind
from bayespress.cli.run import run
from bayespress.deploy.bundle.format import BUNDLE, ZIPPED_BUNDLE
from bayespress.errors import ExitCode, InputError
from bayespress.packed_format import PACKED
from bayespress.workflow.kinds import BENCH_REPORT, run_directory

WEIGHTS = codec.encode([codec.RawTensor("w", np.arange(20, dtype=np.float32))])
RECORDS = {
    "packed.json": {"version": 2, "original_parameters": 1, "packed_bytes": 1},
    "run.json": {"version": 2, "method": {}, "model": {}, "data": {}, "training": {}, "status": "complete"},
    "manifest.json": {
        "version": 1, "digest": "", "targets": {}, "files": [{"path": "weights.bpz"}, {"path": "golden/input.f32"}]
    },
}  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, which contains weights; the home folder is another one."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "net.bpz").write_bytes(WEIGHTS)
    return folder


def record(folder, name, *others):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(RECORDS[name]))
    for other in others:
        (folder / other).parent.mkdir(parents=True, exist_ok=True)
        (folder / other).write_bytes(b"x")
    return folder


def snapshot(folder):
    return {
        path.relative_to(folder): path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()
        for path in folder.rglob("*")
    }  # fmt: skip


FOLDERS = {
    "packed": (lambda: PACKED, "packed.json", ("weights.bpz", "network.pt2", "original.pt2", "golden.safetensors")),
    "run": (
        run_directory, "run.json",
        ("posterior.safetensors", "checkpoints/last.ckpt", "checkpoints/tensorboard/events.out.tfevents.1.2"),
    ),
    "bundle": (lambda: BUNDLE, "manifest.json", ("weights.bpz", "golden/input.f32", "manifest.sig")),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_replaced_if_empty_or_of_its_kind_with_overwrite(here, name):
    make, file, others = FOLDERS[name]
    kind = make()
    (here / "d").mkdir()
    outputs.check_output(here / "d", kind)
    record(here / "d", file, *others)
    with pytest.raises(InputError, match=r"exists already; name another path, or give --overwrite"):
        outputs.check_output(here / "d", kind)
    outputs.check_output(here / "d", kind, overwrite=True)
    for other in set(FOLDERS) - {name}:
        with pytest.raises(InputError, match=r"exists already and is not"):
            outputs.check_output(here / "d", FOLDERS[other][0](), overwrite=True)


@pytest.mark.parametrize("foreign", ["thesis.txt", "deep/er/thesis.txt", "empty", "link", ".hidden"])
@pytest.mark.parametrize("name", FOLDERS)
def test_another_file_in_the_folder_is_named_and_kept(here, name, foreign):
    make, file, others = FOLDERS[name]
    record(here / "d", file, *others)
    path = here / "d" / foreign
    path.parent.mkdir(parents=True, exist_ok=True)
    if foreign == "empty":
        path.mkdir()
    elif foreign == "link":
        path.symlink_to("/etc")
    else:
        path.write_text("x")
    with pytest.raises(InputError, match=rf"it holds {foreign}; name another path"):
        outputs.check_output(here / "d", make(), overwrite=True)


def test_the_error_for_a_folder_without_a_record_names_a_file(here):
    (here / "d").mkdir()
    (here / "d" / "thesis.txt").write_text("x")
    (here / "d" / "notes").write_text("x")
    with pytest.raises(InputError, match=r"it holds notes and no packed.json of bayespress"):
        outputs.check_output(here / "d", PACKED, overwrite=True)
    for text in ("[]", "{", '"x"', "[" * 100_000, '{"version": 1}'):
        (here / "d" / "packed.json").write_text(text)
        with pytest.raises(InputError, match=r"is not a packed directory"):
            outputs.check_output(here / "d", PACKED, overwrite=True)


def test_a_run_directory_may_contain_other_outputs(here):
    run = record(here / "run", "run.json", "search.db")
    record(run / "packed", "packed.json", "weights.bpz")
    record(run / "lenet.bundle", "manifest.json", "weights.bpz")
    (run / "report.html").write_text('<!doctype html>\n<meta name="generator" content="bayespress">')
    outputs.check_output(run, run_directory(), overwrite=True)
    (run / "packed" / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match=r"it holds packed/packed.json"):
        outputs.check_output(run, run_directory(), overwrite=True)


FILES = {
    "page": (outputs.PAGE, b'<!doctype html>\n<html><meta name="generator" content="bayespress">'),
    "weights": (outputs.WEIGHT_FILE, WEIGHTS),
    "bench": (
        BENCH_REPORT, b'{"name": "", "cpu": "", "rows": [], "decode_us": 1, "start_ms": 1, "devices": []}'
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_replaced_only_by_one_of_its_kind(here, name):
    kind, data = FILES[name]
    path = here / "f"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"give --overwrite to replace it"):
        outputs.write_output(path, kind, b"new")
    for foreign in (
        b"",
        b"thesis",
        b"<!doctype html><title>x</title>",
        b"{}",
        b"\x89PNG",
        b"PK\x03\x04",
        b"\xff" * 5000,
    ):
        path.write_bytes(foreign)
        with pytest.raises(InputError, match=r"exists already and is not"):
            outputs.write_output(path, kind, b"new", overwrite=True)
        assert path.read_bytes() == foreign
    path.write_bytes(data)
    outputs.write_output(path, kind, b"new", overwrite=True)
    assert path.read_bytes() == b"new"


def test_pictures_are_recognised_by_their_mark(here):
    from bayespress.html_report.charts import Bar, bar_chart, picture

    drawn = picture([("bars", bar_chart([Bar("one", 1.0)], "value"))], "title")
    outputs.write_output(here / "p.svg", outputs.PICTURE, drawn)
    outputs.write_output(here / "p.svg", outputs.PICTURE, drawn, overwrite=True)
    (here / "p.svg").write_text("<?xml version='1.0'?><svg/>")
    with pytest.raises(InputError, match=r"is not a picture of bayespress"):
        outputs.check_output(here / "p.svg", outputs.PICTURE, overwrite=True)


def test_other_zip_files_are_not_replaced(here):
    import zipfile

    with zipfile.ZipFile(here / "b.zip", "w") as archive:
        archive.writestr("manifest.json", json.dumps(RECORDS["manifest.json"]))
        archive.writestr("weights.bpz", b"x")
    outputs.check_output(here / "b.zip", ZIPPED_BUNDLE, overwrite=True)
    with zipfile.ZipFile(here / "b.zip", "a") as archive:
        archive.writestr("thesis.txt", b"x")
    with pytest.raises(InputError, match=r"it holds thesis.txt"):
        outputs.check_output(here / "b.zip", ZIPPED_BUNDLE, overwrite=True)
    for data in (b"PK\x03\x04", b"", b"x"):
        (here / "b.zip").write_bytes(data)
        with pytest.raises(InputError, match=r"it has no manifest.json of bayespress"):
            outputs.check_output(here / "b.zip", ZIPPED_BUNDLE, overwrite=True)


@pytest.mark.parametrize("place", [".", "..", "/", "~", "~/x", "../here", "../here/../../", "HOME", "HOME/.."])
def test_the_current_and_home_folders_and_their_parents_are_never_written(here, place):
    path = outputs.Path(place.replace("HOME", os.environ["HOME"]))
    before = snapshot(here)
    for kind in (PACKED, outputs.PAGE):
        with pytest.raises(InputError, match=r"which is never overwritten|only a shell expands"):
            outputs.check_output(path, kind, overwrite=True)
    with pytest.raises(InputError, match=r"which is never overwritten|only a shell expands"):
        outputs.check_container(path)
    assert snapshot(here) == before


def test_an_output_is_never_an_input_by_any_name(here):
    source = here / "net.bpz"
    os.link(source, here / "hard")
    (here / "sub").mkdir()
    (here / "soft").symlink_to(source)
    (here / "folderlink").symlink_to(here)
    for path in (
        source,
        here / "hard",
        here / "soft",
        here / "folderlink" / "net.bpz",
        here / "sub" / ".." / "net.bpz",
    ):
        with pytest.raises(InputError, match=r"is also the input"):
            outputs.check_output(path, outputs.WEIGHT_FILE, overwrite=True, inputs=(source,))
    packed = record(here / "sub" / "packed", "packed.json")
    with pytest.raises(InputError, match=r"is a folder above the input"):
        outputs.check_output(here / "sub", PACKED, overwrite=True, inputs=(packed,))
    for path in (packed / "new", packed / "a" / "b", here / "folderlink" / "sub" / "packed" / "new"):
        with pytest.raises(InputError, match=r"is inside the input"):
            outputs.check_output(path, BUNDLE, inputs=(packed,))
    outputs.check_output(packed / "new", BUNDLE, inputs=(packed, None), within=True)


def test_links_are_neither_followed_nor_replaced(here):
    target = record(here / "target", "packed.json")
    (here / "link").symlink_to(target)
    (here / "dangling").symlink_to(here / "nowhere")
    (here / "loop").symlink_to("loop")
    for name in ("link", "dangling", "loop"):
        with pytest.raises(InputError, match=r"is a symbolic link|cannot be resolved"):
            outputs.check_output(here / name, PACKED, overwrite=True)
    outputs.check_output(here / "link" / "new", PACKED)
    with pytest.raises(InputError, match=r"is a broken symbolic link"):
        outputs.check_container(here / "dangling")


def test_rejects_devices_and_pipes_as_outputs(here):
    os.mkfifo(here / "pipe")
    for path in (outputs.Path("/dev/null"), here / "pipe"):
        with pytest.raises(InputError, match=r"is a device, pipe or socket, and the output is a file"):
            outputs.check_output(path, outputs.WEIGHT_FILE, overwrite=True)


def test_keys_are_never_replaced(here):
    from bayespress.deploy.bundle.sign import new_key

    public = new_key(here / "key.pem")
    before = snapshot(here)
    with pytest.raises(InputError, match=r"exists already, and a key never replaces a file"):
        new_key(here / "key.pem")
    (here / "key.pem").unlink()
    with pytest.raises(InputError, match=public.name):
        new_key(here / "key.pem")
    assert snapshot(here) == {name: data for name, data in before.items() if name.name != "key.pem"}


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_decoding_replaces_only_what_was_decoded(here, suffix):
    out = f"again{suffix}"
    assert run(["decode", "net.bpz", "-o", out]) == ExitCode.DONE
    with pytest.raises(InputError, match=r"give --overwrite"):
        run(["decode", "net.bpz", "-o", out])
    assert run(["decode", "net.bpz", "-o", out, "--overwrite"]) == ExitCode.DONE
    if suffix == ".npz":
        with np.load(out) as arrays:
            assert arrays["w"].tolist() == list(range(20))
        np.savez_compressed(out, w=np.ones(3))
    else:
        from safetensors.numpy import load_file, save_file

        assert load_file(out)["w"].tolist() == list(range(20))
        save_file({"w": np.ones(3)}, out)
    before = snapshot(here)
    with pytest.raises(InputError, match=r"`bayespress decode` did not write it"):
        run(["decode", "net.bpz", "-o", out, "--overwrite"])
    assert snapshot(here) == before


def test_a_decoded_onnx_model_is_recognised_by_its_producer(here):
    import onnx

    from bayespress.cli.decode import _onnx_producer

    graph = onnx.helper.make_graph([], "g", [], [])
    model = onnx.helper.make_model(graph, producer_name="pytorch").SerializeToString()
    kind = decoded_kind(".onnx")
    (here / "m.onnx").write_bytes(model)
    assert kind.difference(here / "m.onnx") is not None
    (here / "m.onnx").write_bytes(model + _onnx_producer())
    assert kind.difference(here / "m.onnx") is None
    assert onnx.load(here / "m.onnx").producer_name == "bayespress decode"


def test_decoding_tensors_named_like_arguments_of_numpy(here):
    tensors = [codec.RawTensor(name, np.ones(3, np.float32)) for name in ("file", "args", "a/b", "self")]
    (here / "net.bpz").write_bytes(codec.encode(tensors))
    assert run(["decode", "net.bpz", "-o", "x.npz"]) == ExitCode.DONE
    with np.load("x.npz") as arrays:
        assert set(arrays.files) == {"file", "args", "a/b", "self"}


def test_compressing_a_file_twice_and_onto_itself(here, capsys):
    from safetensors.numpy import save_file

    save_file({"w": np.linspace(-1, 1, 100, dtype=np.float32)}, "my net.safetensors")
    assert run(["compress", "my net.safetensors"]) == ExitCode.DONE
    advice = capsys.readouterr().out.strip().splitlines()[-1]
    assert advice == "To decode: bayespress decode 'my net.bpz' -o 'my net.decoded.safetensors'"
    before = snapshot(here)
    for words, message in (
        ([], "give --overwrite"),
        (["-o", "my net.safetensors", "--overwrite"], "is also the input"),
        (["-o", ".", "--overwrite"], "is the current folder"),
    ):
        with pytest.raises(InputError, match=message):
            run(["compress", "my net.safetensors", *words])
        assert snapshot(here) == before
    assert run(["compress", "my net.safetensors", "--overwrite"]) == ExitCode.DONE


def test_rejects_the_same_path_for_two_outputs(here):
    (here / "r.json").write_bytes(FILES["bench"][1])
    with pytest.raises(InputError, match=r"is the path of two outputs of one command"):
        run(["bench", "--import", "r.json", "-o", "n.svg", "--plot", "./n.svg"])
    with pytest.raises(InputError, match=r"is also the input"):
        run(["bench", "--import", "r.json", "-o", "r.json", "--overwrite"])


def test_the_codec_overwrites_nothing_by_default(here):
    tensors = [codec.RawTensor("w", np.ones(3, np.float32))]
    with pytest.raises(InputError, match=r"give --overwrite"):
        codec.write("net.bpz", tensors)
    codec.write("net.bpz", tensors, overwrite=True)
    assert codec.decode((here / "net.bpz").read_bytes())[0].values().tolist() == [1, 1, 1]
    assert not [path for path in here.iterdir() if path.name.startswith(".")]


def test_a_default_output_stays_in_the_current_folder():
    from bayespress.workflow.bundle import _beside

    for name in ("../x", "a/b", ".ssh", "a\nb", "/etc/x"):
        with pytest.raises(InputError, match=r"is no name for a file"):
            _beside(outputs.Path("packed"), name)
    assert _beside(outputs.Path("."), "net").name == "net.bundle"


def test_the_name_of_a_default_run_directory_is_one_folder():
    from bayespress.workflow.training import file_name

    assert file_name("lenet-sparse-vd-folder:/data/../pets") == "lenet-sparse-vd-folder-data-..-pets"
    assert file_name("nets:small") == "nets-small"
