"""Training augmentation: what is done to an image is drawn on the CPU (changes), and done there (on_cpu) or, for whole batches, on the
training device (on_device), with the same pixels."""

from limen.data.augmentation.augmentation import AUGMENTATIONS, Augmentation, create_augmentation

__all__ = ["AUGMENTATIONS", "Augmentation", "create_augmentation"]
