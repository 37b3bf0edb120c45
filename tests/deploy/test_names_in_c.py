"""Names of layers in generated C code: they appear only as text in labels and tables, never as code."""

from __future__ import annotations

import subprocess

import pytest
import torch
from torch import nn

import bayespress
from bayespress.compress.pipeline import compress_network
from bayespress.compress.settings import CompressSettings
from bayespress.deploy.compile.schedule import _c_string
from bayespress.deploy.compile.toolchain import c_compiler
from bayespress.errors import InputError
from zoo import posterior_of

pytestmark = pytest.mark.xdist_group("deploy")

NAMES = [
    'a"b', "back\\slash", "tri??/graph", 'tri??/" end', "line\nbreak", "end */ int x /*", "// comment", "größe",
    "重み",
    "\x01\x7f", '" "touch pwned', "%s%n", "\\", "7", "\\x41", "tab\tand\rreturn", "{}", "for", "R\"x(",
    "\\\n",
]  # fmt: skip


def test_every_name_survives_a_c_compiler(tmp_path):
    rows = ",\n".join(_c_string(name) + "\n" + _c_string("7") for name in NAMES)  # an octal escape ends after 3 digits
    (tmp_path / "names.c").write_text(
        "#include <stdio.h>\nstatic const char *const names[] = {\n" + rows + "};\n"
        "int main(void) { for (unsigned i = 0; i < sizeof names / sizeof *names; ++i) { fputs(names[i], stdout); "
        "fputc(0, stdout); } return 0; }\n"
    )
    for options in ([], ["-trigraphs", "-std=c99"]):
        command = [*c_compiler(None), "-Wall", "-Werror", "-Wno-trigraphs", *options]
        subprocess.run([*command, tmp_path / "names.c", "-o", tmp_path / "names"], check=True)
        printed = subprocess.run([tmp_path / "names"], capture_output=True, check=True).stdout
        assert printed == b"".join(name.encode() + b"7\0" for name in NAMES)


def compressed(network):
    settings = CompressSettings(threshold=100.0, budget=1e-4)  # nothing is pruned
    return compress_network(network.eval(), posterior_of(network), torch.rand(3, 5), settings)


@pytest.mark.parametrize("name", ["f(x);", "{};", 'R"x('])
def test_rejects_names_that_pytorch_cannot_read_back(name, tmp_path, caplog):
    network = nn.Sequential()
    network.add_module(name, nn.Linear(5, 5))
    with pytest.raises(InputError, match=r"cannot read back the exported program of Sequential .*; give its modules"):
        compressed(network).write(tmp_path / "packed", name="net")
    assert not (tmp_path / "packed").exists()
    assert "Traceback" not in caplog.text


def test_a_network_with_unusual_names_is_built_and_verified(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    network = nn.Sequential()
    # The codec rejects control characters, PyTorch cannot read back names with the first three of
    # these characters, and `build` rejects a packed directory with a name that ends a string literal.
    named = [name for name in NAMES if min(name.encode()) >= 32 and not set('();"\\{}').intersection(name)]
    for name in named:
        network.add_module(name.replace(".", "_"), nn.Linear(5, 5))
    compressed(network).write(tmp_path / "packed", name='x"y??/')
    bundle = tmp_path / "net.bundle"
    bayespress.build(tmp_path / "packed", ["host"], bundle)
    assert bayespress.verify(bundle, ["host"]).passed
    report = bayespress.bench(bundle, seconds=0.05, compare=[])
    assert len(report.devices[0].layers) >= len(named)
    assert not (tmp_path / "pwned").exists()
