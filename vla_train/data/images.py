"""Frames to PNG bytes and back, without loss. Frames are RGB (or grey, or RGBA); OpenCV thinks in BGR, and only here."""

import cv2
import numpy as np

from vla_train.spec import ImageSpec

# Channels -> (conversion before encoding, conversion after decoding); one channel has nothing to swap.
_SWAPS = {1: None, 3: (cv2.COLOR_RGB2BGR, cv2.COLOR_BGR2RGB), 4: (cv2.COLOR_RGBA2BGRA, cv2.COLOR_BGRA2RGBA)}


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
    """A PNG or JPEG, uint8 [n], as [y, x, c] in RGB order. ValueError if the bytes are no picture."""
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    except cv2.error:  # its header claims more pixels than OpenCV makes room for
        image = None
    if image is None:
        raise ValueError("the bytes are not an image")
    pixels: np.ndarray = image[:, :, None] if image.ndim == 2 else image
    swap = _SWAPS.get(pixels.shape[2])
    return np.asarray(cv2.cvtColor(pixels, swap[1])) if swap else pixels
