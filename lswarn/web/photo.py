"""Photos that people send: shown to be pictures, made smaller, and freed of what the camera wrote beside them."""

import io
import warnings

from PIL import Image, ImageOps, UnidentifiedImageError

from lswarn.web.problems import Problem

KINDS = ("JPEG", "PNG", "WEBP")
MOST_PIXELS = 50_000_000
"""A picture that unpacks to more is refused before it is unpacked."""
SIDE = 2048
"""Pixels along the longer side that are kept."""


def plain_jpeg(data: bytes) -> bytes:
    """A photo drawn anew as JPEG: upright, and without place, time or name of the camera.

    Raises:
        Problem: 415: it is no picture of a kind that is taken, or is damaged; 413: too many pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of very large pictures, which are refused here
            with Image.open(io.BytesIO(data), formats=KINDS) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise Problem(413, f"photo: it may have {MOST_PIXELS // 1_000_000} million pixels; make it smaller")
                upright = ImageOps.exif_transpose(picture).convert("RGB")
        upright.thumbnail((SIDE, SIDE))
        kept = Image.new("RGB", upright.size)
        kept.paste(upright)
        out = io.BytesIO()
        kept.save(out, "JPEG", quality=85)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Problem(415, "photo: it must be a whole JPEG, PNG or WebP picture") from error
    return out.getvalue()
