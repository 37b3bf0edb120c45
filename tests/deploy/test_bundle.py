"""Every change of a bundle is detected, and no program of a changed bundle runs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import stat
import tempfile
import zipfile

import numpy as np
import pytest
from bundles import run_on
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bayespress
from bayespress.deploy.bundle.format import opened, seal, write_zip
from bayespress.deploy.bundle.manifest import MANIFEST, Manifest
from bayespress.deploy.bundle.source import LARGEST_FILE, MOST_FILES, FolderSource
from bayespress.deploy.devices.base import target_for
from bayespress.deploy.verify.tolerance import check_outputs
from bayespress.deploy.verify.verify import verify
from bayespress.errors import CorruptFileError, InputError, MissingToolError

pytestmark = pytest.mark.xdist_group("deploy")


def refused(path) -> str:
    """The error message of `verify`; no program may run before it."""
    report = verify(path)
    assert not report.passed
    assert [check.outcome for check in report.checks] == ["failed"]
    return report.checks[0].detail


def test_the_files_of_a_bundle(pristine):
    files = {path.relative_to(pristine).as_posix() for path in pristine.rglob("*") if path.is_file()}
    assert files == {
        "manifest.json", "report.html", "weights.bpz", "graph.onnx", "golden/input.f32", "golden/output.f32",
        "golden/tolerance.f32",
        "targets/host/runner", "targets/host/libnetwork.so", "targets/host/libnetwork.a", "targets/host/bayespress.h",
        "targets/host/schedule.c",
    }  # fmt: skip
    manifest = Manifest.parse((pristine / MANIFEST).read_bytes())
    assert manifest.input_shape == (1, 4, 4)
    assert manifest.labels == ("a", "b")
    assert {entry.path for entry in manifest.files} == files - {MANIFEST}


@pytest.mark.parametrize("name", ["weights.bpz", "graph.onnx", "golden/output.f32", "targets/host/runner", MANIFEST])
def test_every_changed_file_is_rejected(bundle, name):
    whole = (bundle / name).read_bytes()
    rng = np.random.default_rng(0)
    at = sorted({0, len(whole) - 1, *rng.integers(0, len(whole), 10).tolist()})
    changed = [whole[:i] + bytes([whole[i] ^ 1 << int(rng.integers(8))]) + whole[i + 1 :] for i in at]
    for data in (*changed, whole[:-1], whole + b"\0", whole + b"\n", b""):
        (bundle / name).write_bytes(data)
        assert refused(bundle).endswith((".", "again."))
    (bundle / name).write_bytes(whole)
    assert verify(bundle).passed


def test_surplus_and_missing_files_are_rejected(bundle):
    (bundle / "targets" / "host" / "extra").write_text("")
    assert "targets/host/extra is not in the manifest" in refused(bundle)
    (bundle / "targets" / "host" / "extra").unlink()
    (bundle / "graph.onnx").unlink()
    assert "graph.onnx is missing" in refused(bundle)


def test_rejects_a_link_instead_of_a_file(bundle, tmp_path):
    (bundle / "graph.onnx").rename(tmp_path / "elsewhere")
    (bundle / "graph.onnx").symlink_to(tmp_path / "elsewhere")
    assert "graph.onnx is not the file" in refused(bundle)


def test_wrong_outputs_with_valid_hashes_are_detected(bundle):
    """A wrong output is detected even if the manifest was rewritten to match the changed files."""
    output = np.fromfile(bundle / "golden" / "output.f32", "<f4")
    output[3] += 0.01
    output.tofile(bundle / "golden" / "output.f32")
    manifest = Manifest.parse((bundle / MANIFEST).read_bytes())
    (bundle / MANIFEST).unlink()
    seal(bundle, manifest)
    report = verify(bundle)
    assert [(check.name, check.outcome) for check in report.checks if check.outcome != "skipped"] == [
        ("files", "passed"),
        ("weights", "passed"),
        ("golden vectors, ONNX Runtime", "failed"),
        ("golden vectors, host runner", "failed"),
    ]
    assert "differs by 0.01" in report.checks[2].detail


def test_a_runner_outside_the_bundle_is_refused(bundle):
    manifest = Manifest.parse((bundle / MANIFEST).read_bytes())
    host = manifest.targets["host"].model_copy(update={"runner": "../../bin/true"})
    (bundle / MANIFEST).unlink()
    seal(bundle, manifest.model_copy(update={"targets": {"host": host}}))
    assert "../../bin/true of target host is not among its files" in refused(bundle)


def test_the_hashed_copy_is_executed(bundle, tmp_path):
    """A change of the bundle's folder after the check does not change the private copy that runs."""
    with opened(bundle) as it:
        assert it.first_difference() is None
        runner = bundle / "targets/host/runner"
        runner.unlink()
        runner.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
        runner.chmod(0o755)
        (bundle / "weights.bpz").write_bytes(b"other")
        report = run_on("host", it, it.folder / "golden/input.f32")
        check_outputs(report.output_array(), it.golden_outputs(), it.golden_tolerance(), "An output")
        assert stat.S_IMODE(it.folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(it.folder.parent.stat().st_mode) == 0o700
        assert bundle not in it.folder.parents
    assert not (tmp_path / "ran").exists()
    assert not it.folder.exists()


def test_a_file_that_changes_while_it_is_copied(bundle, monkeypatch):
    """The bytes that are read are hashed, even if the size changes or a link replaces the file."""
    chunks = FolderSource.chunks

    def growing(self, name):
        yield from chunks(self, name)
        yield b"more"

    def replaced(self, name):
        if name == "graph.onnx":
            (self.path / name).unlink()
            (self.path / name).symlink_to("/etc/passwd")
        return chunks(self, name)

    monkeypatch.setattr(FolderSource, "chunks", growing)
    assert "were announced" in refused(bundle)
    monkeypatch.setattr(FolderSource, "chunks", replaced)
    assert "graph.onnx cannot be read" in refused(bundle)


def test_rejects_pipes_and_folders_instead_of_files(bundle, tmp_path):
    (bundle / "graph.onnx").unlink()
    os.mkfifo(bundle / "graph.onnx")  # opening it for reading would block without end
    assert "graph.onnx is not the file" in refused(bundle)
    (bundle / "graph.onnx").unlink()
    (bundle / "graph.onnx").mkdir()
    assert "graph.onnx is missing" in refused(bundle)
    (bundle / "graph.onnx").rmdir()
    shutil.move(bundle / "golden", tmp_path / "golden")
    (bundle / "golden").symlink_to(tmp_path / "golden")
    assert "golden is not in the manifest" in refused(bundle)
    (bundle / MANIFEST).rename(tmp_path / "m")
    (bundle / MANIFEST).symlink_to(tmp_path / "m")
    assert "manifest.json is not a regular file" in refused(bundle)


def test_rejects_folders_with_too_many_files(bundle):
    for index in range(MOST_FILES + 1):
        (bundle / f"{index}").touch()
    assert f"holds more than {MOST_FILES} files" in refused(bundle)


@pytest.mark.parametrize(
    "path", ["../evil", "/etc/evil", "a//b", "a/./b", "./a", "a/", "", "a\\b", "C:a", "a\nb", "x" * 300]
)
def test_rejects_paths_outside_the_bundle(pristine, path):
    manifest = Manifest.parse((pristine / MANIFEST).read_bytes())
    evil = manifest.files[0].model_copy(update={"path": path})
    forged = manifest.model_copy(update={"files": (*manifest.files, evil)}).sealed()
    with pytest.raises(CorruptFileError, match=r"is not a path inside a bundle"):
        Manifest.parse(forged.canonical())


def test_rejects_manifests_beyond_the_limits(pristine):
    manifest = Manifest.parse((pristine / MANIFEST).read_bytes())
    first = manifest.files[0]
    huge = first.model_copy(update={"size": LARGEST_FILE})
    hostile = [
        {"files": (*manifest.files, first)},
        {"files": (*manifest.files, first.model_copy(update={"path": MANIFEST}))},
        {"files": tuple(first.model_copy(update={"path": f"f{index}"}) for index in range(MOST_FILES + 1))},
        {"files": (*manifest.files, first.model_copy(update={"path": "new", "size": 1 << 60}))},
        {"files": (*manifest.files, *(huge.model_copy(update={"path": f"f{index}"}) for index in range(3)))},
        {"files": (*manifest.files, first.model_copy(update={"path": "new", "size": -1}))},
        {"files": (*manifest.files, first.model_copy(update={"path": "new", "sha256": "Z" * 64}))},
        {"input_shape": (-2, -2)},
        {"golden_examples": -1},
        {"golden_examples": 1 << 70},
    ]
    for fields in hostile:
        with pytest.raises(CorruptFileError) as refusal:
            Manifest.parse(manifest.model_copy(update=fields).sealed().canonical())
        assert str(refusal.value).isprintable()
    data = manifest.canonical()
    for text in (b"[" * 1_000_000, b'{"a":' * 100_000, b"\xff", b"", data.replace(b"{", b'{"name": "first", ', 1)):
        with pytest.raises(CorruptFileError, match=r"manifest\.json (is damaged|was changed)"):
            Manifest.parse(text)


def test_rejects_a_manifest_or_signature_beyond_its_limit(bundle):
    (bundle / "manifest.sig").write_bytes(bytes(65))
    assert "manifest.sig has 65 bytes" in refused(bundle)
    (bundle / "manifest.sig").unlink()
    (bundle / MANIFEST).write_bytes(b" " * (5 << 20))
    assert "manifest.json has 5242880 bytes" in refused(bundle)


def test_rejects_a_path_that_is_a_file_and_a_folder(bundle):
    manifest = Manifest.parse((bundle / MANIFEST).read_bytes())
    inner = manifest.files[0].model_copy(update={"path": "weights.bpz/inner"})
    forged = manifest.model_copy(update={"files": (*manifest.files, inner)}).sealed()
    (bundle / MANIFEST).write_bytes(forged.canonical())
    assert "weights.bpz/inner is missing" in refused(bundle)


class TestZip:
    @pytest.fixture(scope="class")
    @staticmethod
    def archive(pristine, tmp_path_factory):
        path = tmp_path_factory.mktemp("zip") / "mlp.zip"
        write_zip(pristine, path)
        return path

    def test_sound(self, archive, pristine, tmp_path):
        assert verify(archive).passed
        with opened(archive) as bundle:
            assert stat.S_IMODE((bundle.folder / "targets/host/runner").stat().st_mode) & 0o100
        write_zip(pristine, tmp_path / "again.zip")
        assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_any_changed_byte_is_rejected(self, archive, tmp_path, data):
        whole = archive.read_bytes()
        kind = data.draw(st.sampled_from(["flip", "cut", "append", "prepend"]))
        if kind == "flip":
            # Half of the changes are in the directory at the end, which contains the archive's own fields.
            tail = data.draw(st.booleans())
            at = data.draw(st.integers(len(whole) - 700 if tail else 0, len(whole) - 1))
            changed = bytearray(whole)
            changed[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "cut":
            changed = whole[: data.draw(st.integers(0, len(whole) - 1))]
        else:
            extra = data.draw(st.binary(min_size=1, max_size=30))
            changed = whole + extra if kind == "append" else extra + whole
        path = tmp_path / "changed.zip"
        path.write_bytes(changed)
        with contextlib.suppress(InputError):  # for example, without a file of the manifest's name it is not a bundle
            assert refused(path)

    def forged(self, pristine, tmp_path, **members):
        path = tmp_path / "forged.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(pristine / MANIFEST, MANIFEST)
            for name, data in members.items():
                archive.writestr(name, data)
        return path

    def test_rejects_members_outside_the_bundle(self, pristine, tmp_path):
        path = self.forged(pristine, tmp_path, **{"../evil": "x"})
        assert "../evil" in refused(path)
        assert not (tmp_path / "evil").exists()

    def test_rejects_a_zip_bomb(self, pristine, tmp_path):
        path = tmp_path / "bomb.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(pristine / MANIFEST, MANIFEST)
            archive.writestr("graph.onnx", bytes(50_000_000))
        assert "(manifest.json is compressed)" in refused(path)

    def test_rejects_members_that_claim_a_larger_size(self, pristine, tmp_path):
        path = self.forged(pristine, tmp_path, **{"graph.onnx": bytes(50_000)})
        assert "is missing from the bundle" in refused(path)
        with zipfile.ZipFile(path, "a") as archive:
            for entry in Manifest.parse((pristine / MANIFEST).read_bytes()).files:
                if entry.path != "graph.onnx":
                    archive.write(pristine / entry.path, entry.path)
        assert "graph.onnx is not the file of" in refused(path)

    def test_rejects_too_many_members(self, pristine, tmp_path):
        path = self.forged(pristine, tmp_path, **{f"golden/{index}": "" for index in range(MOST_FILES)})
        assert f"holds {MOST_FILES + 1} files, and a bundle has at most {MOST_FILES}" in refused(path)

    @pytest.mark.parametrize("name", ["/etc/evil", "..\\evil", "C:evil", "a/../../evil", "golden/\x1b[31m"])
    def test_rejects_invalid_names_of_members(self, pristine, tmp_path, name):
        message = refused(self.forged(pristine, tmp_path, **{name: "x"}))
        assert "is not in the manifest" in message or "is missing" in message
        assert message.isprintable()
        assert {path.name for path in tmp_path.iterdir()} == {"forged.zip"}

    def test_rejects_a_link_in_an_archive(self, pristine, tmp_path):
        path = tmp_path / "link.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(pristine / MANIFEST, MANIFEST)
            for entry in Manifest.parse((pristine / MANIFEST).read_bytes()).files:
                info = zipfile.ZipInfo(entry.path)
                info.external_attr = (0o120777 if entry.path == "graph.onnx" else 0o100644) << 16
                archive.writestr(info, (pristine / entry.path).read_bytes())
        assert "graph.onnx is not the file" in refused(path)

    def test_reading_one_file_unpacks_no_other(self, archive, tmp_path, monkeypatch):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        with opened(archive) as bundle:
            assert bundle.read("weights.bpz")[:3] == b"BPZ"
            assert not [path for path in tmp_path.rglob("*") if path.is_file()]
        assert not list(tmp_path.iterdir())

    def test_rejects_a_file_that_occurs_twice(self, pristine, tmp_path):
        path = tmp_path / "twice.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(pristine / MANIFEST, MANIFEST)
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.write(pristine / MANIFEST, MANIFEST)
        assert "twice" in refused(path)

    def test_rejects_other_zip_files(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
            archive.writestr("readme", "x")
        with pytest.raises(InputError, match=r"has no manifest\.json"):
            verify(tmp_path / "other.zip")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda fields: fields | {"surplus": 1},
        lambda fields: fields | {"version": 1},
        lambda fields: {key: value for key, value in fields.items() if key != "files"},
        lambda fields: fields | {"golden_examples": "many"},
        lambda fields: fields | {"name": "another"},
    ],
)
def test_rejects_invalid_manifests(pristine, spoil):
    fields = json.loads((pristine / MANIFEST).read_text())
    with pytest.raises(CorruptFileError, match=r"manifest.json (is damaged|was changed)"):
        Manifest.parse(json.dumps(spoil(fields), indent=2).encode() + b"\n")


def test_rejects_a_manifest_in_another_form(pristine):
    data = (pristine / MANIFEST).read_bytes()
    with pytest.raises(CorruptFileError, match="changed after it was built"):
        Manifest.parse(data.replace(b'  "name"', b'   "name"'))


def test_rejects_paths_without_a_bundle(tmp_path):
    with pytest.raises(InputError, match=r"no manifest\.json"):
        verify(tmp_path)
    with pytest.raises(InputError, match=r"There is no bundle or \.bpz file"):
        verify(tmp_path / "missing")
    with pytest.raises(InputError, match="There is no bundle at"), opened(tmp_path / "missing"):
        pass


def test_a_named_device_must_be_available(pristine):
    assert [check.name for check in verify(pristine, ["host"]).checks][-1] == "golden vectors, host runner"
    with pytest.raises(MissingToolError, match="no target for aarch64"):
        verify(pristine, ["qemu-arm64"])
    with pytest.raises(InputError, match="no device 'toaster'; choose one of host"):
        bayespress.verify(pristine, ["toaster"])


def test_a_host_build_of_another_machine_is_not_run(bundle):
    manifest = Manifest.parse((bundle / MANIFEST).read_bytes())
    host = manifest.targets["host"].model_copy(update={"machine": "riscv64"})
    (bundle / MANIFEST).unlink()
    seal(bundle, manifest.model_copy(update={"targets": {"host": host}}))
    last = verify(bundle).checks[3]
    assert (last.outcome, "for riscv64" in last.detail) == ("skipped", True)


def test_targets_for_linux_are_preferred_to_android(bundle):
    """Their 32-bit objects use different ABIs, and a bundle lists targets in the order of the request."""
    with opened(bundle) as it:
        entry = it.manifest.targets["host"].model_copy(update={"machine": "armv7l"})
        targets = {"armv7-android": entry.model_copy(update={"android": True, "runner": "a"}), "armv7-linux": entry}
        both = dataclasses.replace(it, manifest=it.manifest.model_copy(update={"targets": targets}))
    assert target_for(both, "armv7l") == entry
    assert target_for(both, "armv8l") == entry


def test_paths_may_be_strings(pristine):
    report = verify(str(pristine), ["host"])
    assert report.passed
    assert [device.device for device in bayespress.bench(str(pristine), seconds=0.01, compare=()).devices] == ["host"]
