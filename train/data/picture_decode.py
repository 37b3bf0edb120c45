"""One picture from its bytes: whatever its colours are kept in, as grey or red, green and blue from 0 to 255.

bilevel, 8-bit grey           grey
16-bit grey                   grey, v / 65535 * 255
floating point                grey, v * 255, if all v lie from 0 to 1
palette, RGB, CMYK, YCbCr, LAB, HSV  red, green and blue
with transparency             laid over white; over black where that would leave one colour only, as of a white
                              drawing on transparent ground
turned by an EXIF orientation, as from phones: turned upright
animated, or of several pages: the first
"""

from __future__ import annotations

import io
import warnings
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import CorruptFileError, InputError, reason_of

# What is opened. Others are left out: Pillow reads EPS by running Ghostscript, for one.
_FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")
_GREY = ("1", "L", "LA", "La")
_GREY_16 = ("I;16", "I;16B", "I;16L", "I;16N")
_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_MOST_PIXELS = 1 << 26

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.float32]


class Decoded(NamedTuple):
    """`pixels` (channels, height, width), 0 to 255, of type uint8 unless finer; frames in the file; whether laid over
    black.
    """

    pixels: Pixels
    frames: int
    on_black: bool


def decode(place: str, data: bytes) -> Decoded:
    """The picture in `data`; `place` names it in errors.

    Raises CorruptFileError for what is no whole picture, InputError for one that is too large or whose range of
    values is not known.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.init()  # registers the formats
    formats = [known for known in _FORMATS if known in Image.OPEN]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which are checked here, and of metadata
            with Image.open(io.BytesIO(data), formats=formats) as image:
                if image.width * image.height > _MOST_PIXELS:
                    raise InputError(
                        f"Picture {place} has {image.width} x {image.height} pixels, and {_MOST_PIXELS} at most are "
                        "read; scale it down."
                    )
                frames = int(getattr(image, "n_frames", 1))
                image.seek(0)
                image.load()
                whole_range = image.format in ("PNG", "PPM")  # of which 16-bit pictures may come as 32-bit integers
                pixels, on_black = _pixels(place, ImageOps.exif_transpose(image), whole_range)
    except InputError:
        raise
    except UnidentifiedImageError:
        raise CorruptFileError(
            f"Picture {place} cannot be read (it begins like none of {', '.join(formats)}); remove or convert it."
        ) from None
    except Exception as error:  # a damaged picture makes decoders raise nearly anything
        raise CorruptFileError(f"Picture {place} cannot be read ({reason_of(error)}); remove or mend it.") from None
    return Decoded(pixels, frames, on_black)


def _pixels(place: str, image: object, whole_range: bool) -> tuple[Pixels, bool]:
    from PIL import Image

    assert isinstance(image, Image.Image)
    if image.mode in _GREY_16:
        values = np.asarray(image).astype(np.uint16)
        return (values[None] * np.float32(255 / 65535)).astype(np.float32), False
    if image.mode == "I":
        integers = np.asarray(image)
        if integers.min(initial=0) < 0 or integers.max(initial=0) > 65535 or not whole_range:
            raise InputError(
                f"Picture {place} holds 32-bit integers, whose range is not known; convert it to 8 or 16 bits."
            )
        return (integers[None] * np.float32(255 / 65535)).astype(np.float32), False
    if image.mode == "F":
        floats = np.asarray(image, np.float32)
        if not (np.isfinite(floats).all() and floats.min() >= 0.0 and floats.max() <= 1.0):
            raise InputError(
                f"Picture {place} holds floating-point values beyond 0 to 1, whose range is not known; scale them to "
                "0 to 1, or convert it to 8 bits."
            )
        return floats[None] * np.float32(255), False
    if image.mode in _ALPHA or "transparency" in image.info:
        return _composited(image)
    grey = image.mode in _GREY
    return _channels_first(np.asarray(image.convert("L" if grey else "RGB"), np.uint8)), False


def _composited(image: object) -> tuple[Pixels, bool]:
    """Over white, or over black where white would leave one colour only; and which."""
    from PIL import Image

    assert isinstance(image, Image.Image)
    grey = image.mode in _GREY
    layered = image.convert("RGBA")
    over = []
    for background in (255, 0):
        below = Image.new("RGBA", layered.size, (background, background, background, 255))
        flat = Image.alpha_composite(below, layered).convert("L" if grey else "RGB")
        pixels = _channels_first(np.asarray(flat, np.uint8))
        if (pixels != pixels[:, :1, :1]).any():
            return pixels, background == 0
        over.append(pixels)
    return over[0], False  # of one colour on either ground


def _channels_first(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
