"""A signature proves who built a bundle and that nothing was changed afterwards."""

from __future__ import annotations

import shutil
import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import bayespress
from bayespress.deploy.bundle.format import opened, write_zip
from bayespress.deploy.bundle.sign import new_key, sign
from bayespress.deploy.bundle.source import FolderSource
from bayespress.deploy.measure.bench import bench
from bayespress.errors import CorruptFileError, InputError

pytestmark = pytest.mark.xdist_group("deploy")


@pytest.fixture
def keys(tmp_path):
    private = tmp_path / "release.pem"
    return private, new_key(private)


def outcomes(report):
    return {check.name: check.outcome for check in report.checks}


@pytest.mark.parametrize("zipped", [False, True])
def test_a_signed_bundle_passes(bundle, keys, zipped, tmp_path):
    private, public = keys
    if zipped:
        write_zip(bundle, tmp_path / "it.zip")
        bundle = tmp_path / "it.zip"
    sign(bundle, private)
    report = bayespress.verify(bundle, ["host"], key=public)
    assert outcomes(report)["signature"] == "passed"
    assert report.passed
    with opened(bundle) as signed:
        assert (signed.folder / "manifest.sig").stat().st_size == 64
    sign(bundle, private)  # again, in place
    assert bayespress.verify(bundle, ["host"], key=public).passed
    assert outcomes(bayespress.verify(bundle, ["host"]))["signature"] == "skipped"


def test_only_the_owner_can_read_the_private_key(keys):
    private, public = keys
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert b"PRIVATE" not in public.read_bytes()
    with pytest.raises(InputError, match=r"release.pem exists already, and a key never replaces a file"):
        new_key(private)


def test_rejects_a_signature_with_another_key(bundle, keys, tmp_path):
    sign(bundle, keys[0])
    other = new_key(tmp_path / "other.pem")
    report = bayespress.verify(bundle, ["host"], key=other)
    assert [(check.name, check.outcome) for check in report.checks] == [("signature", "failed")], "nothing was run"
    assert "is not by the owner of other.public.pem" in report.checks[0].detail


def test_nothing_is_unpacked_before_the_signature_is_checked(bundle, keys, tmp_path, monkeypatch):
    sign(bundle, keys[0])
    other = new_key(tmp_path / "other.pem")
    asked = []
    chunks = FolderSource.chunks
    monkeypatch.setattr(FolderSource, "chunks", lambda self, name: asked.append(name) or chunks(self, name))
    assert not bayespress.verify(bundle, ["host"], key=other).passed
    with pytest.raises(CorruptFileError, match=r"not by the owner of other.public.pem"):
        bench(bundle, seconds=0.01, compare=(), key=other)
    assert set(asked) == {"manifest.json", "manifest.sig"}


def test_rejects_a_bundle_without_a_signature(bundle, keys):
    report = bayespress.verify(bundle, ["host"], key=keys[1])
    assert outcomes(report) == {"signature": "failed"}
    assert "not signed" in report.checks[0].detail


def test_rejects_a_rebuilt_manifest(pristine, bundle, packed, keys, tmp_path):
    """An attacker who replaces the weights and rewrites the manifest cannot sign it."""
    sign(bundle, keys[0])
    bayespress.build(packed("single-layer"), ["host"], tmp_path / "forged")
    shutil.copy(bundle / "manifest.sig", tmp_path / "forged" / "manifest.sig")
    assert outcomes(bayespress.verify(tmp_path / "forged", ["host"], key=keys[1])) == {"signature": "failed"}


@pytest.mark.parametrize("name", ["weights.bpz", "targets/host/runner", "manifest.json", "graph.onnx", "manifest.sig"])
def test_rejects_any_change(bundle, keys, name):
    sign(bundle, keys[0])
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(bytes(data))
    try:
        assert not bayespress.verify(bundle, ["host"], key=keys[1]).passed
    except CorruptFileError:
        assert name == "manifest.json"


def test_a_changed_bundle_is_not_signed(bundle, keys):
    (bundle / "weights.bpz").write_bytes(b"x")
    with pytest.raises(CorruptFileError, match=r"weights\.bpz is not the file"):
        sign(bundle, keys[0])


def test_rejects_keys_of_other_kinds(bundle, keys, tmp_path):
    private, public = keys
    with pytest.raises(InputError, match="is not a private key in PEM"):
        sign(bundle, public)
    with pytest.raises(InputError, match="is not a public key in PEM"):
        bayespress.verify(bundle, ["host"], key=private)
    other = tmp_path / "ec.pem"
    other.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with pytest.raises(InputError, match="is not an Ed25519 key"):
        sign(bundle, other)
    with pytest.raises(InputError, match=r"nowhere.pem"):
        sign(bundle, tmp_path / "nowhere.pem")
