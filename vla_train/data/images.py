"""Frames to PNG bytes and back, without loss. Frames are RGB (or grey, or RGBA); OpenCV thinks in BGR, and only here."""

import struct

import cv2
import numpy as np

from vla_train.spec import ImageSpec

# Channels -> (conversion before encoding, conversion after decoding); one channel has nothing to swap.
_SWAPS = {1: None, 3: (cv2.COLOR_RGB2BGR, cv2.COLOR_BGR2RGB), 4: (cv2.COLOR_RGBA2BGRA, cv2.COLOR_BGRA2RGBA)}

MOST_PIXELS = 2**25  # of a picture that is decoded, just over 8K video: a small file can claim, and unpack to, ever so many
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_JPEG_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_JPEG_SIZES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the markers of a frame, of every kind of coding
_JPEG_ENDS = {0xD9, 0xDA}  # behind these come no more headers


def encode_png(frame: np.ndarray) -> bytes:
    """Lossless PNG bytes of one frame, uint8 [y, x, c] with c = 1, 3 or 4."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in _SWAPS:
        raise ValueError(f"a frame must be uint8 [y, x, 1, 3 or 4], not {frame.dtype} {list(frame.shape)}")
    swap = _SWAPS[frame.shape[2]]
    done, data = cv2.imencode(".png", cv2.cvtColor(frame, swap[0]) if swap else frame)
    if not done:
        raise ValueError(f"OpenCV could not encode a frame of shape {list(frame.shape)}")
    return data.tobytes()


def decode(data: np.ndarray, image: ImageSpec) -> np.ndarray:
    """A PNG or JPEG, uint8 [n], as [y, x, c]: uint8, or for a depth map what it was stored in.

    ValueError if the bytes do not hold such a picture as ``image`` declares.
    """
    pixels = decoded(data)
    declared = (image.height, image.width, image.channels)
    if pixels.shape != declared or (pixels.dtype != np.uint8 and image.kind != "depth"):
        raise ValueError(f"the image is {pixels.dtype} {list(pixels.shape)}, where uint8 {list(declared)} is declared")
    return pixels


def decoded(data: np.ndarray) -> np.ndarray:
    """A PNG or JPEG, uint8 [n], as [y, x, c] in RGB order. ValueError if the bytes are no such picture, or it is too large."""
    height, width = _size(data.tobytes())
    if height * width > MOST_PIXELS:
        raise ValueError(f"the image has {height:,} x {width:,} pixels, and at most {MOST_PIXELS:,} are read")
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:  # its header claims more pixels than OpenCV makes room for
        image = None
    if image is None:
        raise ValueError("the bytes are not an image")
    pixels: np.ndarray = image[:, :, None] if image.ndim == 2 else image
    swap = _SWAPS.get(pixels.shape[2])
    return np.asarray(cv2.cvtColor(pixels, swap[1])) if swap else pixels


def _size(data: bytes) -> tuple[int, int]:
    """Height and width that the header of a PNG or JPEG claims. ValueError for other bytes: nothing else is decoded."""
    if data.startswith(_PNG) and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        return height, width
    at = 2 if data.startswith(_JPEG) else len(data)
    while 0 <= (at := data.find(b"\xff", at)) < len(data) - 9:  # like a decoder, which skips what stands between two parts
        marker = data[at + 1]
        if marker in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return height, width
        if marker in _JPEG_ENDS:
            break
        if marker in (0x00, 0xFF):  # no marker; one of several bytes before a marker
            at += 1 if marker else 2
        else:
            at += 2 if marker in _JPEG_ALONE else 2 + int.from_bytes(data[at + 2 : at + 4])
    raise ValueError("the bytes are not an image (PNG or JPEG)")
