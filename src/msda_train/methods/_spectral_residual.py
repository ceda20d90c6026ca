"""The spectral residual of an image: what its spectrum has beyond the usual, back in pixels.

Hou & Zhang, CVPR 2007; as 3neutronstar/GuidedMixup spectral_residual.py computes it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.functional import gaussian_blur, resize, rgb_to_grayscale

from msda_train.core.errors import UserError
from msda_train.core.exact import exact
from msda_train.core.mix import picture_size

LARGEST = 128  # pixels a side; larger images are made so small


def spectral_residual(x: Tensor) -> Tensor:
    """Saliency (B, H, W) float32 of images x (B, C, H, W), C 1 or 3; blurred, not normalised. UserError for
    images of less than four pixels a side, which the blur has no border for."""
    size = picture_size(x)
    if min(size) < 4:
        raise UserError("method: the saliency of this one needs images of at least 4 pixels a side")
    with exact(x):
        grey = rgb_to_grayscale(x.float()) if x.shape[1] == 3 else x.float().mean(dim=1, keepdim=True)
        if max(size) > LARGEST:
            grey = resize(grey, [LARGEST, LARGEST], antialias=True)
        spectrum = torch.fft.fft2(grey)
        size_of = (spectrum.real.square() + spectrum.imag.square() + 1e-10).sqrt()
        usual = F.avg_pool2d(F.pad(size_of.log(), (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        back = torch.fft.ifft2(spectrum * (size_of.log() - usual).exp() / size_of)
        found: Tensor = gaussian_blur(back.abs(), [7, 7], [3.0, 3.0])
        if max(size) > LARGEST:
            found = resize(found, list(size), antialias=True)
        return found[:, 0]
