"""Untrusted exported programs: opening an archive never executes its contents."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import pickle
import random
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

import bayespress
from bayespress.cli.run import run
from bayespress.deploy.program import stored_program
from bayespress.deploy.program.export import load_program
from bayespress.deploy.program.stored_program import read_program
from bayespress.errors import CorruptFileError


class Tied(nn.Module):
    """A weight with two names, a transposed weight, a constant, a block without gradients, and an unusual name."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6)
        self.second.weight = self.first.weight
        self.turned = nn.Parameter(torch.randn(4, 6).T)
        self.add_module("odd name-1", nn.LayerNorm(4))
        self.register_buffer("order", torch.tensor([3, 0, 1, 2]), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            h = self.second(torch.relu(self.first(x)))
        h = h @ self.turned + torch.tensor([0.5, -1.0, float("inf"), 2.0])
        return self.get_submodule("odd name-1")(h.clamp(max=3.0))[:, self.order]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """An archive of torch.export.save with sample inputs, and the network and its input."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("saved") / "network.pt2"
    network, x = Tied().eval(), torch.randn(1, 6)
    torch.export.save(torch.export.export(network, (x,)), path)
    return path, network, x


def forged(source: Path, path: Path, *, members=None, graph=None, weights=None, constants=None) -> Path:
    """A copy of the archive with replaced members (None removes one) and with edited JSON."""
    edits = {
        "models/model.json": graph,
        "data/weights/model_weights_config.json": weights,
        "data/constants/model_constants_config.json": constants,
    }
    members = dict(members or {})
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        root = old.namelist()[0].partition("/")[0]
        for entry in old.infolist():
            name = entry.filename.removeprefix(f"{root}/")
            data = old.read(entry)
            if edits.get(name):
                fields = json.loads(data)
                edits[name](fields)
                data = json.dumps(fields).encode()
            data = members.pop(name, data)
            if data is not None:
                new.writestr(entry.filename, data)
        for name, data in members.items():
            new.writestr(f"{root}/{name}", data)
    return path


class Touch:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def hostile_pickle(path: Path, marker: Path) -> bytes:
    torch.save((Touch(marker),), path)
    return path.read_bytes()


def nodes(fields):
    return fields["graph_module"]["graph"]["nodes"]


def test_reads_the_same_program_as_torch(saved):
    path, network, x = saved
    program = read_program(path)
    assert torch.equal(program.module()(x), network(x))
    assert torch.equal(program.module()(x), torch.export.load(path).module()(x))
    assert program.example_inputs is None
    state = program.state_dict
    assert state["first.weight"].untyped_storage().data_ptr() == state["second.weight"].untyped_storage().data_ptr()
    assert torch.equal(state["turned"], network.turned)
    assert {*state} == {*torch.export.load(path).state_dict}


def test_reads_operators_with_underscores_in_their_names(tmp_path):
    """ATen names these operators with underscores."""

    class Signs(nn.Module):
        def forward(self, x):
            low, high = x > 0, x > 1
            low ^= high
            return (low & ~high | high).float() + ((x.int() << 2) >> 1)

    x = torch.tensor([[-1.0, 0.5, 2.0]])
    torch.export.save(torch.export.export(Signs(), (x,)), tmp_path / "signs.pt2")
    assert torch.equal(read_program(tmp_path / "signs.pt2").module()(x), Signs()(x))


def test_packed_directories_contain_no_pickle_and_no_examples(packed):
    for name in ("network.pt2", "original.pt2"):
        with zipfile.ZipFile(packed("mlp") / name) as archive:
            sample = next(entry for entry in archive.infolist() if "sample_inputs" in entry.filename)
            assert sample.file_size == 0


def test_sample_inputs_are_not_unpickled(saved, tmp_path):
    marker = tmp_path / "ran"
    data = hostile_pickle(tmp_path / "evil.pt", marker)
    path = forged(saved[0], tmp_path / "network.pt2", members={"data/sample_inputs/model.pt": data})
    with contextlib.suppress(Exception):
        torch.export.load(path)
    assert marker.exists(), "the archive is not hostile"
    marker.rmdir()
    assert torch.equal(load_program(path).module()(saved[2]), saved[1](saved[2]))
    assert not marker.exists()


def test_rejects_pickled_weights_and_constants(saved, tmp_path):
    marker = tmp_path / "ran"
    data = hostile_pickle(tmp_path / "evil.pt", marker)

    def pickled(name):
        def edit(fields):
            fields["config"][name].update(use_pickle=True)

        return edit

    def as_object(name, file):
        def edit(fields):
            fields["config"][name].update(path_name=file, use_pickle=True)

        return edit

    cases = [
        {"weights": pickled("first.bias"), "members": {"data/weights/weight_1": data}},
        {"constants": pickled("order"), "members": {"data/constants/tensor_1": data}},
        {"constants": as_object("order", "custom_obj_0"), "members": {"data/constants/custom_obj_0": data}},
        {
            "constants": as_object("order", "opaque_obj_0"),
            "members": {"data/constants/opaque_obj_0": pickle.dumps(Touch(marker))},
        },
        {"members": {"data/weights/model.pt": data}},  # the legacy form, which torch prefers
        {"members": {"data/constants/model.pt": data}},
    ]
    for number, case in enumerate(cases):
        path = forged(saved[0], tmp_path / f"{number}.pt2", **case)
        with pytest.raises(CorruptFileError):
            load_program(path)
        assert not marker.exists()


def _guard(fields, code):
    fields["guards_code"] = [code]


def _symbolic(fields, code):
    meta = next(iter(fields["graph_module"]["graph"]["tensor_values"].values()))
    meta["sizes"][0] = {"as_expr": {"expr_str": code, "hint": None}}


def _target(fields, code):
    nodes(fields)[1].update(target="torch.os.system", inputs=[{"name": "", "arg": {"as_string": code}, "kind": 1}])


def _node_name(fields, code):
    nodes(fields)[1]["name"] = code


def _placeholder(fields, code):
    text = json.dumps(fields).replace('"x"', json.dumps(code))
    fields.clear()
    fields.update(json.loads(text))


def _weight_name(fields, code):
    text = json.dumps(fields).replace('"parameter_name": "turned"', f'"parameter_name": {json.dumps(code)}')
    fields.clear()
    fields.update(json.loads(text))


def _tree(fields, code):
    spec = [1, {"type": "builtins.dict", "context": code, "children_spec": []}]
    fields["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = json.dumps(spec)


def _enumeration(fields, code):
    _tree(fields, json.dumps({"__enum__": True, "fqn": "antigravity.X", "name": "Y"}))


def _default_factory(fields, code):
    spec = {
        "type": "collections.defaultdict", "children_spec": [],
        "context": {"default_factory_module": "antigravity", "default_factory_name": "x", "dict_context": []},
    }  # fmt: skip
    fields["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = json.dumps([1, spec])


def _file(fields, code):
    nodes(fields)[1].update(
        target="torch.ops.aten.from_file.default",
        inputs=[{"name": "filename", "arg": {"as_string": "/etc/passwd"}, "kind": 1}],
    )


def _library(fields, code):
    nodes(fields)[1].update(target="torch.ops.load_library")


def _extension(fields, code):
    nodes(fields)[1].update(target="#namespace:anything")


def _operator_argument(fields, code):
    nodes(fields)[1]["inputs"][0]["arg"] = {"as_operator": "torch.os.system"}


def _device(fields, code):
    next(iter(fields["graph_module"]["graph"]["tensor_values"].values()))["device"]["type"] = "privateuseone"


def _script_object(fields, code):
    fields["graph_module"]["graph"]["custom_obj_values"] = {"x": {"name": "x", "class_fqn": code}}


def _range(fields, code):
    fields["range_constraints"] = {code: {"min_val": 0, "max_val": 4}}


def _number(fields, code):
    nodes(fields)[0]["inputs"].append({"name": "y", "arg": {"as_int": code}, "kind": 1})


def _argument_name(fields, code):
    nodes(fields)[0]["inputs"][0]["name"] = f"x=0)\n    {code}\n    (x"


def _forward_name(fields, code):
    fields["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"] = [code]


def _constant_input(fields, code):
    fields["graph_module"]["graph"]["inputs"][-1] = {"as_string": code}


HOSTILE_GRAPHS = [
    _guard, _symbolic, _target, _node_name, _placeholder, _weight_name, _tree, _enumeration, _default_factory, _file,
    _library, _extension, _operator_argument, _device, _script_object, _range, _number, _argument_name, _forward_name,
    _constant_input,
]  # fmt: skip


@pytest.mark.parametrize("edit", HOSTILE_GRAPHS, ids=lambda edit: edit.__name__.strip("_"))
def test_graphs_execute_no_code(saved, tmp_path, edit):
    marker = tmp_path / "ran"
    code = f"__import__('os').mkdir({str(marker)!r})"
    path = forged(saved[0], tmp_path / "network.pt2", graph=lambda fields: edit(fields, code))
    with pytest.raises(CorruptFileError, match=r"network\.pt2 does not hold a network of fixed sizes") as refusal:
        load_program(path).module()(saved[2])
    assert not marker.exists()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("edit", [_symbolic, _placeholder, _guard], ids=lambda edit: edit.__name__.strip("_"))
def test_torch_executes_the_code_in_these_graphs(saved, tmp_path, edit):
    """Shows that the forged graphs are dangerous: PyTorch's own reader executes their code."""
    marker = tmp_path / "ran"
    code = f"__import__('os').mkdir({str(marker)!r})"
    if edit is _placeholder:
        code = f"x={code}"
    path = forged(saved[0], tmp_path / "network.pt2", graph=lambda fields: edit(fields, code))
    with contextlib.suppress(Exception):  # after the code has run, the graph makes no sense
        torch.export.load(path).module()(saved[2])
    assert marker.exists()


def _zip(path: Path, entries) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data, kind in entries:
            archive.writestr(name, data, kind)
    return path


def test_rejects_archives_of_another_kind(saved, tmp_path, monkeypatch):
    stored, deflated = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(saved[0]) as archive:
        good = [(entry.filename, archive.read(entry), stored) for entry in archive.infolist()]
    root = good[0][0].partition("/")[0]
    link = zipfile.ZipInfo(f"{root}/data/weights/weight_99")
    link.external_attr = 0o120777 << 16
    bad = {
        "sound?": (good, None),
        "compiled code": ([*good, (f"{root}/data/aotinductor/model/a.so", b"\x7fELF", stored)], "none of a network's"),
        "extra": ([*good, (f"{root}/extra/readme", b"", stored)], "none of a network's"),
        "outside": ([*good, (f"{root}/../../evil", b"", stored)], "none of a network's"),
        "absolute": ([*good, ("/etc/evil", b"", stored)], "none of a network's"),
        "drive": ([*good, ("C:\\evil", b"", stored)], "none of a network's"),
        "other root": ([*good, ("other/byteorder", b"little", stored)], "none of a network's"),
        "bomb": ([*good[:-1], (f"{root}/data/weights/weight_77", bytes(1 << 20), deflated)], "not stored plainly"),
        "link": ([*good, (link, b"/etc/passwd", stored)], None),  # harmless, because it is never read or unpacked
        "escape": ([*good, (f"{root}/data/\x1b[31m\u202e", b"", stored)], r"\\x1b\[31m\\u202e"),
        "no graph": ([entry for entry in good if "models/" not in entry[0]], "no member 'models/model.json'"),
        "no members": ([], "no member"),
        "version": ([(n, b"9" if n.endswith("archive_version") else d, k) for n, d, k in good], "archive_version"),
        "order": ([(n, b"big" if n.endswith("byteorder") else d, k) for n, d, k in good], "byteorder"),
        "deep": (
            [(n, b'{"a":' * 100_000 if "model.json" in n else d, k) for n, d, k in good],
            "does not hold a network",
        ),
        "bytes": ([(n, b"\xff\xfe" if "model.json" in n else d, k) for n, d, k in good], "does not hold a network"),
    }
    for name, (entries, reason) in bad.items():
        path = _zip(tmp_path / "network.pt2", entries)
        if reason is None:
            read_program(path)
            continue
        with pytest.raises(CorruptFileError, match=reason) as refusal:
            read_program(path)
        assert str(refusal.value).isprintable(), name
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = _zip(tmp_path / "network.pt2", [*good, good[0]])
    with pytest.raises(CorruptFileError, match="there twice"):
        read_program(twice)
    many = [*good, *((f"{root}/data/weights/weight_{index}", b"", stored) for index in range(100, 140))]
    monkeypatch.setattr(stored_program, "MOST_MEMBERS", 40)
    with pytest.raises(CorruptFileError, match="members, more than 40"):
        read_program(_zip(tmp_path / "network.pt2", many))
    monkeypatch.setattr(stored_program, "LARGEST_GRAPH", 1000)
    with pytest.raises(CorruptFileError, match="larger than 1000 bytes"):
        read_program(saved[0])
    (tmp_path / "network.pt2").write_bytes(b"no archive")
    with pytest.raises(CorruptFileError, match=r"not a torch\.export program"):
        read_program(tmp_path / "network.pt2")


def test_rejects_overlapping_members(saved, tmp_path):
    """The directory of an archive may list the same bytes many times, which is a bomb without compression."""
    data = bytearray(saved[0].read_bytes())
    with zipfile.ZipFile(saved[0]) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    path = tmp_path / "network.pt2"
    with zipfile.ZipFile(path, "w") as archive, zipfile.ZipFile(saved[0]) as old:
        root = largest.filename.partition("/")[0]
        for entry in old.infolist():
            archive.writestr(entry.filename, old.read(entry))
        there = copy.copy(archive.getinfo(largest.filename))
        for index in range(200, 260):
            again = copy.copy(there)
            again.filename = again.orig_filename = f"{root}/data/weights/weight_{index}"
            archive.filelist.append(again)
            archive.NameToInfo[again.filename] = again
    assert len(data) * 3 > path.stat().st_size
    with pytest.raises(CorruptFileError, match="members claim"):
        read_program(path)


def test_tensors_stay_within_their_bytes(saved, tmp_path):
    def larger(fields):
        fields["config"]["first.bias"]["tensor_meta"]["sizes"] = [{"as_int": 7}]

    def beyond(fields):
        fields["config"]["first.bias"]["tensor_meta"]["storage_offset"] = {"as_int": 1}

    def strided(fields):
        fields["config"]["first.bias"]["tensor_meta"]["strides"] = [{"as_int": 1 << 40}]

    def repeated(fields):
        meta = fields["config"]["first.bias"]["tensor_meta"]
        meta["sizes"], meta["strides"] = [{"as_int": 1 << 40}], [{"as_int": 0}]

    def negative(fields):
        fields["config"]["first.bias"]["tensor_meta"]["storage_offset"] = {"as_int": -1}

    def elsewhere(fields):
        fields["config"]["first.bias"]["path_name"] = "../../models/model.json"

    def constant(fields):
        fields["config"]["first.bias"]["path_name"] = "tensor_0"

    def kind(fields):
        fields["config"]["first.bias"]["tensor_meta"]["dtype"] = 63

    for edit in (larger, beyond, strided, repeated, negative, elsewhere, constant, kind):
        with pytest.raises(CorruptFileError):
            load_program(forged(saved[0], tmp_path / "network.pt2", weights=edit))


def test_every_command_rejects_a_hostile_packed_directory(packed, tmp_path):
    marker = tmp_path / "ran"
    folder = Path(shutil.copytree(packed("mlp"), tmp_path / "packed"))
    code = f"__import__('os').mkdir({str(marker)!r})"
    forged(packed("mlp") / "network.pt2", folder / "network.pt2", graph=lambda fields: _symbolic(fields, code))
    for command, out in (("build", "b"), ("decode", "x.onnx")):
        with pytest.raises(CorruptFileError, match="does not hold a network") as refused:
            run([command, str(folder), "-o", str(tmp_path / out)])
        assert refused.value.exit_code == 2
    assert not marker.exists()
    with pytest.raises(CorruptFileError):
        bayespress.build(folder, ["host"], tmp_path / "b")


def leaves(value, path=()):
    """The paths of all keys and all plain values in a JSON document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key), True
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))
    else:
        yield path, False


def put(document, path, is_key, value):
    *outer, last = path
    for step in outer:
        document = document[step]
    if is_key:
        document[str(value)] = document.pop(last)
    else:
        document[last] = value


DOCUMENTS = {
    "graph": "models/model.json",
    "weights": "data/weights/model_weights_config.json",
    "constants": "data/constants/model_constants_config.json",
}


def test_forged_values_anywhere_in_a_graph_execute_no_code(saved, tmp_path):
    """Replaces each key and each value by code or by a value of another type; longer runs use other seeds."""
    marker, rng = tmp_path / "ran", random.Random(3)
    code = f"__import__('os').mkdir({str(marker)!r})"
    values = [
        code, f"x={code}", f'a"),{code},("b', f"a\n    {code}\n", f"');{code}#", "torch.os.system", "self", "",
        7, -1, 1 << 63, 1e400, None, True, [], {},
    ]  # fmt: skip
    with zipfile.ZipFile(saved[0]) as archive:
        root = archive.namelist()[0].partition("/")[0]
        places = [
            (name, *place)
            for name, member in DOCUMENTS.items()
            for place in leaves(json.loads(archive.read(f"{root}/{member}")))
        ]
    sentences = []
    for _ in range(200):
        name, path, is_key = rng.choice(places)
        value = rng.choice(values)
        forgery = forged(saved[0], tmp_path / "f.pt2", **{name: lambda it, p=path, k=is_key, v=value: put(it, p, k, v)})
        try:
            program = load_program(forgery)
        except CorruptFileError as error:
            sentences.append(str(error))
        else:
            with contextlib.suppress(Exception):
                program.module()(saved[2])
        assert not marker.exists(), (name, path, value)
    assert len(sentences) > 150
    assert all(sentence.isprintable() and len(sentence) < 1000 for sentence in sentences)


def test_archives_with_changed_bytes_are_rejected_or_read(saved, tmp_path):
    """A changed byte gives another weight or an error; zipfile compares the archive's checksums."""
    whole, rng = saved[0].read_bytes(), random.Random(5)
    path, sentences = tmp_path / "f.pt2", []
    for _ in range(150):
        data = bytearray(whole[: rng.randrange(len(whole))] if rng.random() < 0.2 else whole)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(max(0, len(data) - 3000), len(data)) if rng.random() < 0.5 else rng.randrange(len(data))
            data[at] = rng.randrange(256)
        path.write_bytes(data)
        try:
            load_program(path)
        except CorruptFileError as error:
            sentences.append(str(error))
    assert sentences
    assert all(sentence.isprintable() for sentence in sentences)
