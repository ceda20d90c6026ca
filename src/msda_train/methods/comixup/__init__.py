"""Co-Mixup: the method and its solver."""

from msda_train.methods.comixup.method import CoMixup

__all__ = ["CoMixup"]
