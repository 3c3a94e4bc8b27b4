"""Meta-World's pictures, drawn quickly without a graphics card.

In software most of a frame's time goes into multisampling, shadows and reflections; without them a frame of 96 x 96 takes
less than a tenth (``scripts/benchmark_metaworld.py``). All rows that play one task share its meshes and textures in OpenGL.
"""

import atexit
import contextlib
import ctypes.util
import functools
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from vla_train.errors import UsageError

CAMERAS = ("corner", "corner2", "corner3", "corner4", "topview", "behindGripper", "gripperPOV")
UPSIDE_DOWN = {"corner", "corner2", "corner3", "corner4"}  # these hang so: their pictures are turned by 180 degrees
CORNER2 = (0.75, 0.075, 0.7)  # where the published protocol puts the camera corner2, in metres
_LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}
MENDING = (
    "set MUJOCO_GL=osmesa (in software; Debian, Ubuntu: apt-get install libosmesa6), MUJOCO_GL=egl (no screen either; "
    "apt-get install libegl1 libgl1) or MUJOCO_GL=glfw (needs a screen; apt-get install libglfw3)"
)


def gl_name() -> str:
    """The way in which MuJoCo reaches OpenGL: the variable MUJOCO_GL, or what this machine has.

    Raises UsageError where there is none.
    """
    if name := os.environ.get("MUJOCO_GL"):
        return name.lower()
    if sys.platform != "linux":
        return "cgl" if sys.platform == "darwin" else "glfw"
    found = [name for name, library in _LIBRARIES.items() if ctypes.util.find_library(library)]
    if not found:
        raise UsageError(f"Meta-World draws with OpenGL, and this machine has no library for it: {MENDING}")
    return found[0]


@functools.cache
def opengl() -> Any:
    """This process's OpenGL context. Raises UsageError where it cannot be had."""
    name = gl_name()
    try:
        context = importlib.import_module(f"mujoco.{name}").GLContext(64, 64)  # we draw off screen: its own size is of no matter
        context.make_current()
        mujoco = importlib.import_module("mujoco")
        mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_100).free()
    except Exception as error:  # what is missing shows as ImportError, AttributeError, an OpenGL error or a RuntimeError
        reason = f"{type(error).__name__}: {error}" if type(error).__module__ == "builtins" else type(error).__name__
        raise UsageError(f"Meta-World cannot draw with MUJOCO_GL={name} ({reason}): {MENDING}") from error
    atexit.register(context.free)  # before the library's own end, which would complain
    return context


class Painter:
    """Draws worlds of one task, which share a model but for the numbers in it.

    Args:
        model: MuJoCo's model of the task; its quality settings are changed.
        cameras: of ``CAMERAS``.
        size: edge of the square pictures in pixels.
        fast: no multisampling, shadows and reflections; else as the library draws.
        crop: (left, top, edge) of the square part that is shown, as shares of the whole picture, which is never drawn.

    Raises:
        UsageError: no OpenGL.
    """

    def __init__(self, model: Any, cameras: Sequence[str], size: int, fast: bool, crop: Sequence[float]) -> None:
        opengl().make_current()
        self._mujoco = mujoco = importlib.import_module("mujoco")
        if fast:
            model.vis.quality.offsamples = model.vis.quality.shadowsize = 0
        model.vis.global_.offwidth = model.vis.global_.offheight = size
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        self._scene = mujoco.MjvScene(model, 1000)
        if fast:
            self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
            self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self._option, self._perturbation, self._camera = mujoco.MjvOption(), mujoco.MjvPerturb(), mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._cameras = {name: model.camera(name).id for name in cameras}
        self._size, self._crop = size, crop

    def draw(self, model: Any, data: Any) -> dict[str, np.ndarray]:
        """The picture of each camera, uint8 [size, size, 3], the right way up."""
        return {name: self._draw(model, data, name) for name in self._cameras}

    def _draw(self, model: Any, data: Any, camera: str) -> np.ndarray:
        mujoco, size = self._mujoco, self._size
        self._camera.fixedcamid = self._cameras[camera]
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(model, data, self._option, self._perturbation, self._camera, everything, self._scene)
        opengl().make_current()  # another library, or another painter, may have drawn meanwhile
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        mujoco.mjr_render(self._viewport(camera), self._scene, self._context)
        pixels = np.empty((size, size, 3), np.uint8)
        mujoco.mjr_readPixels(pixels, None, mujoco.MjrRect(0, 0, size, size), self._context)
        return upright(pixels, camera)

    def _viewport(self, camera: str) -> Any:
        """The whole picture's place around what is drawn: its corner lies outside when a part is shown."""
        left, top, edge = self._crop
        whole = round(self._size / edge)
        right, bottom = whole - round(left * whole) - self._size, whole - round(top * whole) - self._size
        if camera in UPSIDE_DOWN:
            return self._mujoco.MjrRect(-right, -round(top * whole), whole, whole)
        return self._mujoco.MjrRect(-round(left * whole), -bottom, whole, whole)

    def close(self) -> None:
        with contextlib.suppress(Exception):  # OpenGL may be gone already
            opengl().make_current()
            self._context.free()


def upright(pixels: np.ndarray, camera: str) -> np.ndarray:
    """OpenGL's pixels, lowest row first, as a picture, highest row first; turned by 180 degrees where the camera hangs so."""
    turned = pixels[:, ::-1] if camera in UPSIDE_DOWN else pixels[::-1]
    return np.ascontiguousarray(turned)
