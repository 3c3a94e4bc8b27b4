"""Pictures are decoded only once their headers have told their size."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from vla_train.data.images import MOST_PIXELS, decoded, encode_png

PIXELS = np.random.default_rng(0).integers(0, 255, (17, 33, 3), np.uint8)


def jpeg(*options):
    return cv2.imencode(".jpg", PIXELS, options)[1].tobytes()


def jpeg_of(height, width, before=b""):
    """A JPEG that claims another size."""
    data = jpeg()
    at = data.index(b"\xff\xc0")
    return data[:2] + before + data[2 : at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def png_of(height, width):
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def array(data):
    return np.frombuffer(data, np.uint8)


COMMENT = b"\xff\xfe\x00\x0c\xff\xc0\x00\x0b\x08\x00\x01\x00\x01\xff"  # in which the header of a single pixel stands


@pytest.mark.parametrize(
    "data",
    [
        png_of(20_000, 20_000),
        jpeg_of(20_000, 20_000),
        jpeg_of(20_000, 20_000, COMMENT),
        jpeg_of(20_000, 20_000, b"\xff\xff\x00?"),
    ],
    ids=["png", "jpeg", "a comment before", "garbage before"],
)
def test_a_picture_that_claims_too_much_is_refused_unread(data, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it is decoded"))
    with pytest.raises(ValueError, match=f"20,000 x 20,000 pixels, and at most {MOST_PIXELS:,} are read"):
        decoded(array(data))


@pytest.mark.parametrize(
    "data",
    [jpeg(), jpeg(cv2.IMWRITE_JPEG_PROGRESSIVE, 1), jpeg(cv2.IMWRITE_JPEG_RST_INTERVAL, 1), jpeg_of(17, 33, COMMENT)],
    ids=["plain", "progressive", "restarts", "a comment"],
)
def test_every_kind_of_jpeg_is_read(data):
    assert decoded(array(data)).shape == (17, 33, 3)


def test_a_png_is_read():
    assert decoded(array(encode_png(PIXELS))).tolist() == PIXELS.tolist()


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\xff" * 50, jpeg()[:100], cv2.imencode(".bmp", PIXELS)[1].tobytes()])
def test_nothing_else_is_decoded(data):
    with pytest.raises(ValueError, match="the bytes are not an image"):
        decoded(array(data))
