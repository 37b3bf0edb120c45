"""SECURITY.md: every promise names existing tests; this file also tests the promises about the whole product."""

from __future__ import annotations

import ast
import base64
import hashlib
import html
import json
import os
import pickle
import re
import sqlite3
import stat
import sys
import tempfile
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from bayespress.compress.quantize_file import compress_file
from bayespress.deploy.program.export import fill_weights
from bayespress.errors import CorruptFileError, InputError
from bayespress.html_report.charts import Bar, Line, bar_chart, line_chart, table_chart
from bayespress.html_report.page import Card, Chart, Page, Picture, Section, Table, Text
from bayespress.optuna_study import finished, open_study
from bayespress.train.data import sources

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = (ROOT / "SECURITY.md").read_text()
PACKAGE = [
    *ROOT.glob("*.py"),
    *(
        path
        for part in ("cli", "codec", "compress", "deploy", "html_report", "testing", "train", "workflow")
        for path in (ROOT / part).rglob("*.py")
    ),
]


class Touch:
    """An object that creates a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


# ---- the document ----


def promises() -> dict[int, str]:
    found = re.split(r"^(\d+)\. \*\*", DOCUMENT, flags=re.MULTILINE)
    return {int(number): text for number, text in zip(found[1::2], found[2::2], strict=True)}


def test_promises_are_numbered_from_one_and_name_tests():
    found = promises()
    assert list(found) == list(range(1, len(found) + 1))
    assert len(found) > 20
    for number, text in found.items():
        assert re.search(r"`tests/[\w/]+\.py::\w+`", text), f"promise {number} names no test"


@pytest.mark.parametrize("reference", sorted(set(re.findall(r"`(tests/[^`]+)`", DOCUMENT))))
def test_every_named_test_exists(reference):
    path, _, name = reference.partition("::")
    assert (ROOT / path).is_file(), reference
    names = {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)}
    assert not name or name in names, reference


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!#|https)([^)#]+)", DOCUMENT):
        assert (ROOT / target).is_file(), target


# ---- sources ----

FORBIDDEN_CALLS = {
    "eval": "runs text", "exec": "runs text", "os.system": "runs a shell", "os.popen": "runs a shell",
    "pickle.load": "runs what it reads", "pickle.loads": "runs what it reads", "marshal.loads": "reads code",
    "shelve.open": "unpickles", "torch.export.load": "unpickles", "torch.jit.load": "runs what it reads",
    "torch.hub.load": "fetches code", "yaml.load": "makes objects", "joblib.load": "unpickles",
    "tempfile.mktemp": "is a race",
}  # fmt: skip
# Reads the program that the same call has just written, in a folder that only this user can access.
ALLOWED = {"compress/check_written.py": "torch.export.load unpickles"}
FORBIDDEN_ARGUMENTS = {("shell", True), ("allow_pickle", True), ("weights_only", False)}


def full_names(tree: ast.Module) -> dict[str, str]:
    """The full name behind each name from an import or a plain assignment: `l` in `from pickle import loads as l`."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):  # f = torch.load
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute | ast.Name):
            first, dot, rest = ast.unparse(node.value).partition(".")
            whole = names.get(first, first) + dot + rest
            if whole in FORBIDDEN_CALLS or whole in ("torch.load", "pickle.Unpickler"):
                names |= {target.id: whole for target in node.targets if isinstance(target, ast.Name)}
    return names


def violations(text: str) -> list[str]:
    """The calls in a source that could execute untrusted input."""
    found = []
    tree = ast.parse(text)
    names = full_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            first, dot, rest = ast.unparse(node.func).removeprefix("builtins.").partition(".")
            called = (names.get(first, first) + dot + rest).removeprefix("builtins.")
            if called in FORBIDDEN_CALLS:
                found.append(f"line {node.lineno}: {called} {FORBIDDEN_CALLS[called]}")
            given = {(word.arg, word.value.value) for word in node.keywords if isinstance(word.value, ast.Constant)}
            found += [f"line {node.lineno}: {name}={value}" for name, value in given & FORBIDDEN_ARGUMENTS]
            if called == "torch.load" and ("weights_only", True) not in given:
                found.append(f"line {node.lineno}: torch.load without weights_only=True")
            if called == "pickle.Unpickler":
                found.append(f"line {node.lineno}: an unpickler that knows everything")
        elif isinstance(node, ast.ClassDef):
            bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
            named = {names.get(base, base).rpartition(".")[2] for base in bases}
            limited = any(isinstance(each, ast.FunctionDef) and each.name == "find_class" for each in node.body)
            if "Unpickler" in named and not limited:
                found.append(f"line {node.lineno}: an unpickler that knows everything")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.match(r"http://", node.value):
            found.append(f"line {node.lineno}: {node.value} is not encrypted")
    return found


def test_sources_call_no_function_that_executes_input():
    assert len(PACKAGE) > 80
    for path in PACKAGE:
        allowed = ALLOWED.get(path.relative_to(ROOT).as_posix())
        assert [each for each in violations(path.read_text()) if each.partition(": ")[2] != allowed] == [], path


@pytest.mark.parametrize("text", [
    "eval('1')", "torch.load(path)", "torch.load(path, weights_only=False)", "np.load(f, allow_pickle=True)",
    "subprocess.run('ls', shell=True)", "pickle.loads(data)", "pickle.Unpickler(f).load()", "BASE = 'http://x/'",
    "torch.export.load('x')", "from pickle import loads\nloads(x)", "from pickle import loads as read\nread(x)",
    "import pickle as p\np.load(f)", "from torch import load as l\nl(p)", "import torch as t\nt.load(p)",
    "from torch import export\nexport.load(p)", "import torch.export as e\ne.load(p)", "f = torch.load\nf(p)",
    "from os import system\nsystem('ls')", "import builtins\nbuiltins.eval('1')", "run = eval\nrun('1')",
    "from builtins import exec as e\ne('1')", "def g():\n    from torch import hub as h\n    h.load('x')",
    "class U(pickle.Unpickler): pass", "import yaml as y\ny.load(f)",
])  # fmt: skip
def test_the_search_of_sources_finds_what_it_is_for(text):
    assert violations(text)


# ---- files of other tools ----


def test_a_state_dict_is_not_unpickled(tmp_path):
    torch.save({"w": torch.ones(3), "evil": Touch(tmp_path / "ran")}, tmp_path / "net.pt")
    with pytest.raises(CorruptFileError, match="not a file of tensors that PyTorch can read safely"):
        compress_file(tmp_path / "net.pt", tmp_path / "out.bpz", 0.01)
    (tmp_path / "net.pt").write_bytes(pickle.dumps(Touch(tmp_path / "ran")))  # the format before PyTorch 1.6
    with pytest.raises(CorruptFileError):
        compress_file(tmp_path / "net.pt", tmp_path / "out.bpz", 0.01)
    assert not (tmp_path / "ran").exists()


def model_with_data_in(location: str) -> onnx.ModelProto:
    """A model of input + w whose four numbers of w are in another file."""
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[4], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    values = [helper.make_tensor_value_info(name, 1, [4]) for name in ("input", "output")]
    graph = helper.make_graph(
        [helper.make_node("Add", ["input", "w"], ["output"])], "g", values[:1], values[1:], [tensor]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def test_onnx_weights_come_from_the_model_s_own_folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    np.arange(4, dtype="<f4").tofile(tmp_path / "secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    for location in ("../secret", str(tmp_path / "secret"), "link", "a/../../secret", "..\\secret"):
        (folder / "net.onnx").write_bytes(model_with_data_in(location).SerializeToString())
        with pytest.raises(InputError):
            compress_file(folder / "net.onnx", tmp_path / "out.bpz", 0.01)
    assert not (tmp_path / "out.bpz").exists()


def test_a_bundle_s_graph_names_no_other_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.arange(4, dtype="<f4").tofile(tmp_path / "beside")  # ONNX Runtime would read it from the current folder
    model = model_with_data_in("beside")
    in_a_node = onnx.ModelProto()
    in_a_node.CopyFrom(model)
    constant = helper.make_node("Constant", [], ["w"])
    attribute = constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR)
    attribute.t.CopyFrom(model.graph.initializer[0])
    del in_a_node.graph.initializer[:]
    in_a_node.graph.node.insert(0, constant)
    for forged in (model, in_a_node):
        with pytest.raises(CorruptFileError, match=r"Tensor w of the graph lies in another file \(location beside\)"):
            fill_weights(forged.SerializeToString(), {})


def test_a_search_storage_is_not_unpickled(tmp_path, monkeypatch):
    path = tmp_path / "search.db"
    study = open_study(str(path), "s", 1)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    study.set_user_attr("note", "plain")
    with sqlite3.connect(path) as database:
        evil = pickle.dumps(Touch(tmp_path / "ran"))
        for table, column in (("study_user_attributes", "value_json"), ("trial_params", "distribution_json")):
            database.execute(f"UPDATE {table} SET {column} = ?", (evil.hex(),))
    for module in (pickle, sys.modules["pickle"]):
        monkeypatch.setattr(module, "loads", lambda *_: pytest.fail("something was unpickled"))
    with pytest.raises(Exception, match=r"."):
        finished(open_study(str(path), "s", 1))
    assert not (tmp_path / "ran").exists()
    with pytest.raises(InputError, match="is not a supported database"):
        open_study("redis://localhost/0", "s", 1)


# ---- the machine ----


def test_downloads_are_encrypted_and_have_checksums(monkeypatch, tmp_path):
    cifar10, idx = (import_module(f"bayespress.train.data.{name}") for name in ("cifar10", "idx"))
    bases = [cifar10._BASE, *(source.base for source in (idx._MNIST, idx._FASHION))]
    assert all(base.startswith("https://") for base in bases)
    sums = [cifar10._MD5.removeprefix("md5:"), *idx._MNIST.checksums, *idx._FASHION.checksums]
    assert all(re.fullmatch(r"[0-9a-f]{32}", each) for each in sums)
    # A download with another checksum is rejected and removed.
    monkeypatch.setattr("pooch.os_cache", lambda _name: tmp_path / "cache")
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "file").write_bytes(b"forged")

    class Fetched:
        def __init__(self, *args, **kwargs):
            pass

        def __call__(self, url, output, pooch):
            Path(output).write_bytes(b"forged")

    monkeypatch.setattr("pooch.core.choose_downloader", lambda *args, **kwargs: Fetched())
    with pytest.raises(InputError, match="cannot be fetched"):
        sources.fetched_folder("x", "https://example.invalid/", {"file": "md5:" + "0" * 32})
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_temporary_folders_are_private():
    with tempfile.TemporaryDirectory(prefix="bayespress-") as folder:
        assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
    makers = re.compile(r"tempfile\.(\w+)")
    for path in PACKAGE:
        used = set(makers.findall(path.read_text()))
        assert used <= {"TemporaryDirectory", "TemporaryFile", "mkdtemp", "NamedTemporaryFile", "mkstemp"}, path


HOSTILE = ("<script>alert(1)</script>", "</script><script>alert(2)</script>", "<img src=x onerror=alert(3)>",
           "\"><svg onload=alert(4)>", "{{ 7 * 7 }}", "<!--<script>")  # fmt: skip


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.lasttag == "script":
            self.scripts[-1] += data

    def handle_endtag(self, tag):
        self.lasttag = tag if tag != "script" else ""


def hostile_page(*, interactive: bool) -> str:
    """A page with a hostile name in every field that accepts text."""
    bars = [Bar(name, 1.0, name) for name in HOSTILE]
    lines = [Line(name, [(0.0, 1.0), (1.0, 2.0)]) for name in HOSTILE]
    parts = [Table(HOSTILE, [HOSTILE], HOSTILE[0]), *(Text(name) for name in HOSTILE),
             Chart(HOSTILE[0], bar_chart(bars, HOSTILE[1], name=HOSTILE[2], group=HOSTILE[3]), HOSTILE[1]),
             Chart(HOSTILE[2], line_chart(lines, HOSTILE[1], HOSTILE[5])),
             Chart("", table_chart([[1] * 6] * 6, HOSTILE, *HOSTILE[:3])),
             Picture(HOSTILE[1], b"PNG", HOSTILE[2])]  # fmt: skip
    cards = [Card(name, name, name) for name in HOSTILE]
    page = Page(HOSTILE[0], HOSTILE[1], cards, [Section(name, parts) for name in HOSTILE[:2]])
    return page.html(interactive=interactive)


@pytest.mark.parametrize("interactive", [True, False])
def test_pages_run_only_their_own_script(interactive):
    page = Elements(hostile_page(interactive=interactive))
    kinds = [attributes.get("type") for tag, attributes in page.found if tag == "script"]
    assert kinds == (["application/json", None] if interactive else [])
    policy = next(each["content"] for _, each in page.found if each.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'", "no network, no frames, no workers"
    assert rules["img-src"] == "data:"
    assert "unsafe-eval" not in policy
    if interactive:
        data, script = page.scripts
        assert "<" not in data
        assert len(json.loads(data)["specifications"]) == 6
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert rules["script-src"] == f"'sha256-{digest}'", "this script and no other, and none in an attribute"
    else:
        assert "script-src" not in rules
    for tag, attributes in page.found:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert not [name for name in ("href", "src", "xlink:href", "action") if name in attributes and tag != "img"]
        assert tag != "img" or attributes["src"].startswith("data:image/png;base64,")
    texts = hostile_page(interactive=False)
    assert all(texts.count(html.escape(name)) > 3 for name in HOSTILE)
