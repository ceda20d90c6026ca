"""msda-train: rebuild the published tables of mixed sample data augmentation."""

__version__ = "0.1.0"
