"""A point cloud as a picture for a person: seen along z and, beside it, along y."""

import numpy as np

SIDE = 120  # pixels of each view
_NEAR, _FAR, _GROUND = np.array([20, 40, 110]), np.array([150, 190, 230]), 250


def limits(cloud: np.ndarray) -> tuple[np.ndarray, float]:
    """The middle [3] and the longest side of the box of a cloud's points [points, 1, c], single ones far away left out."""
    points = cloud[:, 0, :3].astype(np.float64)
    points = points[np.isfinite(points).all(axis=1)]
    low, high = np.quantile(points if len(points) else np.zeros((1, 3)), [0.01, 0.99], axis=0)
    return (low + high) / 2, 1.2 * float((high - low).max()) or 1.0


def drawn(cloud: np.ndarray, middle: np.ndarray, side: float) -> np.ndarray:
    """uint8 [SIDE, 2 SIDE + 1, 3]: x to the right in both, y upwards in the left one and z in the right one. The darker a point,
    the higher it is, or the nearer."""
    places = (cloud[:, 0, :3].astype(np.float64) - middle) / side + 0.5  # 0 to 1 within the box
    views = [_view(places[:, 0], places[:, 1], places[:, 2]), _view(places[:, 0], places[:, 2], 1 - places[:, 1])]
    return np.concatenate([views[0], np.full((SIDE, 1, 3), 128, np.uint8), views[1]], axis=1)


def _view(right: np.ndarray, up: np.ndarray, towards: np.ndarray) -> np.ndarray:
    picture = np.full((SIDE, SIDE, 3), _GROUND, np.uint8)
    order = np.argsort(towards)  # what is near hides what is behind it
    x, y = ((values[order] * (SIDE - 1)).round() for values in (right, 1 - up))
    seen = (x >= 0) & (x < SIDE) & (y >= 0) & (y < SIDE)  # false where a number is none
    shade = np.clip(towards[order][seen], 0, 1)[:, None]
    picture[y[seen].astype(int), x[seen].astype(int)] = (shade * _NEAR + (1 - shade) * _FAR).astype(np.uint8)
    return picture
