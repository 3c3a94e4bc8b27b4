"""Changes to demonstrations in training: pictures, words and numbers, each sample anew in every epoch."""

from vla_train.data.augmentation.augmentation import Augmentation

__all__ = ["Augmentation"]
