"""Point clouds to features of each point. The order of the points means nothing: whatever is computed of them together is a
maximum, a mean or attention, so that it is the same in any order."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from vla_train.spec import ImageSpec


class PointEmbedding(nn.Module):
    """The numbers of each point through one network that all points share (Qi et al. 2017, "PointNet", section 4.2).

    A point comes twice: as it is, far ones pressed together (asinh, which leaves what is below 1 nearly as it is), and relative
    to the mean and spread of its cloud, so that small shapes far away, and colours of 0 to 255, are seen as well as others.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * channels, width), nn.ReLU(), nn.Linear(width, width), nn.LayerNorm(width))

    def forward(self, cloud: Float[Tensor, "n c p 1"]) -> Float[Tensor, "n p d"]:
        points = cloud[..., 0].transpose(1, 2).float()
        spread, mean = torch.var_mean(points, 1, keepdim=True, correction=0)
        relative = (points - mean) * torch.rsqrt(spread + 1e-6)
        return self.layers(torch.cat((points.asinh(), relative), -1))  # type: ignore[no-any-return]


class PointBlock(nn.Module):
    """A residual layer that all points share, and that also knows the largest of each feature over the cloud (as the segmentation
    network of PointNet does; Zaheer et al. 2017, "Deep Sets", equation 4), scaled and shifted by the sentence (FiLM)."""

    def __init__(self, width: int, sentence: int) -> None:
        super().__init__()
        self.own = nn.Linear(width, width)
        self.cloud = nn.Linear(width, width, bias=False)
        self.film = nn.Linear(sentence, 2 * width)

    def forward(self, points: Float[Tensor, "n p d"], sentence: Float[Tensor, "n s"]) -> Float[Tensor, "n p d"]:
        scale, shift = self.film(sentence)[:, None].chunk(2, -1)
        seen = self.own(points) + self.cloud(points.amax(1, keepdim=True))
        return points + functional.relu(torch.addcmul(shift, seen, 1 + scale))


class PointStem(nn.Module):
    """What ``FilmConvStem`` is for pictures, for clouds: ``blocks`` FiLM blocks, and a cell for each point."""

    def __init__(self, image: ImageSpec, width: int, sentence: int, *, blocks: int) -> None:
        super().__init__()
        self.enter = PointEmbedding(image.channels, width)
        self.blocks = nn.ModuleList(PointBlock(width, sentence) for _ in range(blocks))
        self.grid = (image.height, 1)

    def forward(self, image: Float[Tensor, "n c p 1"], sentence: Float[Tensor, "n s"]) -> Float[Tensor, "n d p 1"]:
        points = self.enter(image)
        for block in self.blocks:
            points = block(points, sentence)
        return points.transpose(1, 2)[..., None]  # type: ignore[no-any-return]


class PointTokens(nn.Module):
    """What ``PatchStem`` is for pictures, for clouds: ``SEEDS`` learned questions to all points (Lee et al. 2019, "Set
    Transformer", equation 11), for as many tokens as there are points cost too much."""

    SEEDS = 16

    def __init__(self, image: ImageSpec, width: int) -> None:
        super().__init__()
        self.enter = PointEmbedding(image.channels, width)
        self.seeds = nn.Parameter(torch.randn(self.SEEDS, width))
        self.keys, self.values = nn.Linear(width, width), nn.Linear(width, width)
        self.grid = (self.SEEDS, 1)

    def forward(self, image: Float[Tensor, "n c p 1"]) -> Float[Tensor, "n d _y 1"]:
        points = self.enter(image)
        seeds = self.seeds.expand(len(points), -1, -1)
        told = functional.scaled_dot_product_attention(seeds, self.keys(points), self.values(points))
        return told.transpose(1, 2)[..., None]


def coordinates(cloud: Float[Tensor, "n c p 1"]) -> Float[Tensor, "n p 3"]:
    """Where the points are, in their own units."""
    return cloud[:, :3, :, 0].transpose(1, 2)
