"""Pictures of every kind: the values that they become, what is passed over and said so, and what is refused."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zlib

import numpy as np
import pytest
from PIL import Image

from bayespress.errors import CorruptFileError, InputError
from bayespress.train.data.picture_decode import decode
from bayespress.train.data.pictures import picture_folder

GREY = np.array([[0, 100, 255], [7, 30, 200]], np.uint8)
SHAPE = np.array([[0, 255, 0], [0, 128, 255]], np.uint8)


def saved(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def decoded(image, kind="PNG", **options):
    return decode("p", saved(image, kind, **options)).pixels


def with_alpha(colour, alpha=SHAPE):
    filled = np.full((*alpha.shape, 3), colour, np.uint8)
    return Image.fromarray(np.concatenate([filled, alpha[..., None]], 2))


def test_sixteen_bit_grey_keeps_its_values():
    values = np.array([[0, 256, 65535], [1, 300, 40000]], np.uint16)
    for kind in ("PNG", "TIFF"):
        pixels = decoded(Image.fromarray(values), kind)
        assert pixels.shape == (1, 2, 3)
        np.testing.assert_allclose(pixels[0] / 255, values / 65535, atol=1e-6)
    np.testing.assert_allclose(decode("p", b"P5 3 2 65535\n" + values.astype(">u2").tobytes()).pixels[0] / 255,
                               values / 65535, atol=1e-6)  # fmt: skip


def test_bilevel_and_eight_bit_grey():
    np.testing.assert_array_equal(decoded(Image.fromarray(GREY))[0], GREY)
    np.testing.assert_array_equal(decoded(Image.fromarray(GREY > 50))[0], np.where(GREY > 50, 255, 0))


def test_palette_cmyk_and_float():
    coloured = Image.fromarray(np.stack([GREY, GREY[::-1], 255 - GREY], 2))
    expected = np.asarray(coloured).transpose(2, 0, 1)
    np.testing.assert_array_equal(decoded(coloured.quantize(16)), expected)
    np.testing.assert_array_equal(decoded(coloured.quantize(16), "GIF"), expected)
    np.testing.assert_allclose(decoded(coloured.convert("CMYK"), "TIFF"), expected, atol=1)
    floats = GREY.astype(np.float32) / 255
    np.testing.assert_allclose(decoded(Image.fromarray(floats), "TIFF")[0], GREY, atol=1e-4)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_a_shape_in_the_transparency_is_seen(kind):
    """Black on transparent over white, white on transparent over black: neither is of one colour."""
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    black = decode("p", saved(with_alpha((0, 0, 0)), kind, **options))
    np.testing.assert_allclose(black.pixels, np.broadcast_to(255 - SHAPE, (3, 2, 3)), atol=1)
    assert not black.on_black
    white = decode("p", saved(with_alpha((255, 255, 255)), kind, **options))
    np.testing.assert_allclose(white.pixels, np.broadcast_to(SHAPE, (3, 2, 3)), atol=1)
    assert white.on_black


def test_transparency_of_grey_and_of_palettes():
    grey = Image.fromarray(np.stack([np.zeros_like(SHAPE), SHAPE], 2), "LA")
    np.testing.assert_allclose(decoded(grey)[0], 255 - SHAPE, atol=1)
    assert decoded(grey).shape == (1, 2, 3)
    palette = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    palette.putpalette([0, 0, 0, 0, 0, 0])
    shape = decoded(palette, transparency=1)
    np.testing.assert_array_equal(shape[0], [[0, 255], [255, 0]])


def test_a_clear_picture_is_read_all_the_same():
    clear = decode("p", saved(with_alpha((9, 9, 9), np.zeros_like(SHAPE))))
    np.testing.assert_array_equal(clear.pixels, np.full((3, 2, 3), 255))
    assert not clear.on_black


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_followed(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = {
        1: GREY, 2: GREY[:, ::-1], 3: GREY[::-1, ::-1], 4: GREY[::-1], 5: GREY.T, 6: np.rot90(GREY, -1),
        7: np.rot90(GREY, 2).T, 8: np.rot90(GREY),
    }[orientation]  # fmt: skip
    np.testing.assert_array_equal(decoded(Image.fromarray(GREY), exif=exif)[0], upright)


def test_the_first_frame_of_an_animation():
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    for kind in ("GIF", "PNG", "TIFF"):
        found = decode("p", saved(frames[0], kind, save_all=True, append_images=frames[1:]))
        assert found.frames == 2
        np.testing.assert_array_equal(found.pixels[0], GREY)


def bomb(width, height):
    """A PNG that declares a size and holds next to nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", CorruptFileError, "cannot be read"),
        (b"not a picture", CorruptFileError, "cannot be read"),
        (saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)))[:-200], CorruptFileError,
         "cannot be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", CorruptFileError, "cannot be read"),
        (bomb(9000, 9000), InputError, "9000 x 9000 pixels"),
        (bomb(60000, 60000), CorruptFileError, "exceeds limit"),
        (bomb(8, 8), CorruptFileError, "cannot be read"),
        (saved(Image.fromarray(np.full((2, 2), 70000, np.int32)), "TIFF"), InputError, "32-bit integers"),
        (saved(Image.fromarray(np.full((2, 2), 9.0, np.float32)), "TIFF"), InputError, "beyond 0 to 1"),
        (saved(Image.fromarray(np.full((2, 2), np.nan, np.float32)), "TIFF"), InputError, "beyond 0 to 1"),
    ],
    ids=("empty", "text", "cut", "eps", "large", "bomb", "no-pixels", "int32", "float", "nan"),
)  # fmt: skip
def test_what_is_no_picture_is_refused_in_one_line(data, error, message):
    with pytest.raises(error, match=message) as caught:
        decode("cat/0.png", data)
    assert "cat/0.png" in str(caught.value)
    assert "\n" not in str(caught.value)


def write(folder, endings=("png",), kinds=("cat", "dog"), parts=("train", "test")):
    for part in parts:
        for kind in kinds:
            (folder / part / kind).mkdir(parents=True, exist_ok=True)
            for ending in endings:
                image = Image.fromarray(GREY)
                image.save(folder / part / kind / f"0.{ending}", {"jpg": "JPEG"}.get(ending.lower()))


def test_every_ending_is_read(tmp_path):
    endings = ("png", "PNG", "tif", "TIFF", "bmp", "webp", "gif", "jpeg", "pgm", "Tif")
    write(tmp_path, endings)
    data = picture_folder("it", tmp_path)
    assert len(data.train.inputs) == 2 * len(endings)


def test_what_is_passed_over_is_listed(tmp_path):
    write(tmp_path)
    (tmp_path / ".git").mkdir()
    for hidden in (".git", "__MACOSX", ".cache"):
        (tmp_path / "train" / hidden).mkdir()
        Image.fromarray(GREY).save(tmp_path / "train" / hidden / "x.png")
    cat = tmp_path / "train" / "cat"
    for name in (".DS_Store", "Thumbs.db", "._0.png", "notes.txt", "x.svg"):
        (cat / name).write_bytes(b"x")
    (cat / "s.png").mkdir()
    (cat / "broken.png").symlink_to(tmp_path / "nowhere.png")
    (cat / "loop.png").symlink_to(cat / "loop.png")
    (cat / "good.png").symlink_to(tmp_path / "train" / "dog" / "0.png")
    os.mkfifo(cat / "pipe.png")
    (tmp_path / "train" / "eel").mkdir()
    Image.fromarray(GREY).save(tmp_path / "train" / "loose.png")
    logged = []
    data = picture_folder("it", tmp_path, logged.append)
    assert data.labels == ("cat", "dog")
    assert len(data.train.inputs) == 3
    for reason, count in [
        ("hidden or of the system", 6), ("not named like a picture", 2), ("folders within a class", 1),
        ("links that lead nowhere", 2), ("pipes, sockets and devices", 1), ("classes without pictures", 1),
        ("not in the folder of a class", 1),
    ]:  # fmt: skip
        assert any(line.startswith(f"{reason}: {count} (") for line in logged), (reason, logged)


def test_what_is_there_instead_is_said(tmp_path):
    for part in ("train", "test"):
        (tmp_path / part / "cat").mkdir(parents=True)
        (tmp_path / part / "cat" / "x.heic").write_bytes(b"x")
    with pytest.raises(InputError, match=r"no pictures in train/CLASS/ \(passed over: not named like a picture: 2"):
        picture_folder("it", tmp_path)


def test_names_of_classes_are_text(tmp_path):
    write(tmp_path, kinds=("a\x1b[31m", "10", "2"))
    assert picture_folder("it", tmp_path).labels == ("10", "2", "a\\x1b[31m")


def test_a_class_has_one_name_however_it_is_composed(tmp_path):
    write(tmp_path, kinds=("é", "b"), parts=("train",))
    write(tmp_path, kinds=("é", "b"), parts=("test",))
    assert picture_folder("it", tmp_path).labels == ("b", "é")


def test_grey_and_coloured_pictures_together(tmp_path):
    write(tmp_path)
    Image.fromarray(np.stack([GREY] * 3, 2)).save(tmp_path / "train" / "cat" / "1.png")
    data = picture_folder("it", tmp_path)
    np.testing.assert_array_equal(data.train.inputs[0], data.train.inputs[1])


def test_an_archive_with_links_hidden_files_and_odd_members(tmp_path):
    write(tmp_path / "p")
    path = tmp_path / "p.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tmp_path / "p", "./deep/p")
        for name, kind, target in [
            ("p/train/cat/link.png", tarfile.SYMTYPE, "0.png"), ("p/train/cat/pipe.png", tarfile.FIFOTYPE, ""),
            ("p/train/cat/hard.png", tarfile.LNKTYPE, "./deep/p/train/cat/0.png"),
            ("p/train/cat/lost.png", tarfile.LNKTYPE, "p/none.png"), ("../train/cat/up.png", tarfile.SYMTYPE, "/etc"),
        ]:  # fmt: skip
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            archive.addfile(member)
        member = tarfile.TarInfo("__MACOSX/p/train/cat/._0.png")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    logged = []
    data = picture_folder("it", path, logged.append)
    assert len(data.train.inputs) == 3
    assert {line.split(": ")[0] for line in logged} == {
        "symbolic links in an archive", "pipes, sockets and devices", "links that lead nowhere",
        "hidden or of the system",
    }  # fmt: skip


@pytest.mark.parametrize(
    "spoil", [lambda data: data[: len(data) // 2], lambda data: data[:40] + b"x" * 99 + data[139:]]
)
def test_a_damaged_archive_is_one_line(tmp_path, spoil):
    write(tmp_path / "p")
    path = tmp_path / "p.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tmp_path / "p", "p")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(CorruptFileError, match="no folder and no sound tar archive") as caught:
        picture_folder("it", path)
    assert "\n" not in str(caught.value)


def test_a_set_that_does_not_fit_memory_is_refused_at_its_first_picture(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr("bayespress.train.data.pictures._memory", lambda: 100)
    with pytest.raises(InputError, match=r"4 pictures of 2 x 3 need 0 GiB of memory"):
        picture_folder("it", tmp_path)


def test_reading_many_pictures_shows_progress(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr("bayespress.train.data.pictures._LOG_EVERY_S", -1.0)
    logged = []
    picture_folder("it", tmp_path, logged.append)
    assert "read 3 of 4 pictures" in logged
