"""Fine-grained static saliency: where a pixel differs from its surroundings, on six scales.

Montabone & Soto, Image and Vision Computing 28 (2010). The numbers are those of OpenCV contrib's
StaticSaliencyFineGrained (modules/saliency/src/staticSaliencyFineGrained.cpp, 4.10 and 5.0), stated here
in our own words, for a whole batch at once and on any device:

1. grey by the weights of BGR (the first channel counts 0.114), blurred twice by the 3 x 3 binomial;
2. on each scale n the surround of pixel (row, column) is the mean, without the pixel itself, over rows
   row - n + 1 to row + n, clipped, and the like for columns. "On" is what the centre exceeds its surround
   by, "off" what it falls short by, each truncated to a byte;
3. on and off are each summed over the scales and scaled to 0..255; their sum is the map. A sum above 255
   wraps round, as a C cast does.

Floating-point images. OpenCV means 8-bit ones, but takes floats: grey and surrounds are then floats, while
the centre of (row, column) is read as *byte* `column` of the row's memory, which is byte column % 4 of the
float at column // 4. The low bytes of floats are noise, and so is that map: its centres come from the left
quarter of the image, and its peak agrees with that of the bytes as often as chance does. It is what
SaliencyMix's code computes, so it is computed here, too.
"""

from collections import Counter
from functools import lru_cache

import torch
from torch import Tensor

from msda_train.core.errors import UserError

SCALES = (12, 24, 48, 28, 56, 112)  # half sides of the surrounds, pixels
GREY = (0.114, 0.587, 0.299)  # for channels 0, 1, 2
GREY_INT = (3735, 19235, 9798)  # the same in units of 2^-15


@torch.no_grad()
def fine_grained(x: Tensor) -> Tensor:
    """(B, H, W) uint8 saliency of images x (B, 1 or 3, H, W), uint8 or float32 (other floats become float32).

    Raises UserError for another number of channels. Nothing returns to the host.
    """
    if x.shape[1] not in (1, 3):
        raise UserError(
            f"method: fine-grained saliency needs 1 or 3 channels; these images have {x.shape[1]}"
        )
    if x.dtype == torch.uint8:
        centre = grey = _blur_bytes(_blur_bytes(_grey_bytes(x.int())))
    else:
        grey = _blur_floats(_blur_floats(_grey_floats(x.float()))).contiguous()
        centre = grey.view(torch.uint8)[..., : x.shape[-1]].int()
    on, off = _centre_surround(grey, centre)
    return (_to_byte_range(on) + _to_byte_range(off)).to(torch.int32).bitwise_and(255).to(torch.uint8)


def _grey_bytes(x: Tensor) -> Tensor:
    """(B, H, W) int32 of x (B, C, H, W) int32: fixed point, rounded."""
    if x.shape[1] == 1:
        return x[:, 0]
    b, g, r = GREY_INT
    return (x[:, 0] * b + x[:, 1] * g + x[:, 2] * r + (1 << 14)) >> 15


def _grey_floats(x: Tensor) -> Tensor:
    """(B, H, W) float32 of x (B, C, H, W) float32.

    The low byte of a float counts here, so the roundings are OpenCV's with fused multiply-add (any x86 since
    2013): one of g, then one of each sum, which a double holds exactly until it is rounded.
    """
    if x.shape[1] == 1:
        return x[:, 0]
    b, g, r = (torch.tensor(w, dtype=torch.float32).item() for w in GREY)
    grey = (x[:, 1].double() * g).float()
    grey = (x[:, 0].double() * b + grey).float()
    return (x[:, 2].double() * r + grey).float()


def _neighbours(a: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The pixels before and after along `dim`; beyond the border the image is mirrored about its last
    pixel."""
    n = a.shape[dim]
    inner, second = a.narrow(dim, 0, n - 1), a.narrow(dim, min(1, n - 1), 1)
    before = torch.cat([second, inner], dim)
    after = torch.cat([a.narrow(dim, min(1, n - 1), n - 1), a.narrow(dim, max(n - 2, 0), 1)], dim)
    return before, after


def _blur_bytes(a: Tensor) -> Tensor:
    """(B, H, W) int32, binomial 3 x 3, rounded half up once at the end."""
    for dim in (2, 1):
        before, after = _neighbours(a, dim)
        a = before + 2 * a + after
    return (a + 8) >> 4


def _blur_floats(a: Tensor) -> Tensor:
    """(B, H, W) float32, binomial 3 x 3; both outer taps are added first."""
    for dim in (2, 1):
        before, after = _neighbours(a, dim)
        a = (before + after) * 0.25 + a * 0.5
    return a


def _centre_surround(grey: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
    """On and off, (B, H, W) float32 whole numbers summed over the scales; grey, centre (B, H, W)."""
    height, width = grey.shape[1:]
    rows, columns, others, times = _surrounds(height, width, grey.device)
    # Doubles, because sums of bytes are exact in them and neither autocast nor TF32 shortens them.
    sums = (rows @ grey.double()[:, None] @ columns).float()  # (B, S, H, W), with the pixel itself
    centre = centre.float()[:, None]
    surround = (sums - centre) / others
    on, off = _to_byte(centre - surround), _to_byte(surround - centre)
    return (times * on).sum(1), (times * off).sum(1)


@lru_cache(maxsize=8)
def _surrounds(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For S different scales: rows (S, H, H) and columns (S, W, W) so that rows @ grey @ columns sums each
    pixel's surround, the number of other pixels in it (S, H, W), and how often the scale counts (S, 1, 1)."""
    # Surrounds that reach beyond the image on all sides are all the same: once is enough.
    scales = Counter(min(n, max(height, width)) for n in SCALES)
    rows = torch.stack([_window(height, n) for n in scales])
    columns = torch.stack([_window(width, n) for n in scales])
    others = rows.sum(2)[:, :, None] * columns.sum(2)[:, None, :] - 1
    times = torch.tensor(list(scales.values()))[:, None, None]
    made = rows, columns.mT, others.clamp(min=1).float(), times.float()  # an image of one pixel has no others
    return tuple(t.to(device) for t in made)  # type: ignore[return-value]


def _window(size: int, n: int) -> Tensor:
    """(size, size) float64: row i is 1 at positions i - n + 1 to i + n."""
    i = torch.arange(size)
    reach = i[None, :] - i[:, None]
    return ((reach > -n) & (reach <= n)).double()


def _to_byte(a: Tensor) -> Tensor:
    """What a C cast to a byte keeps of positive numbers; 0 of others."""
    return a.clamp(min=0).trunc() % 256


def _to_byte_range(a: Tensor) -> Tensor:
    """(B, H, W) scaled so that each image's largest value is 255, truncated; all 0 where that is 0."""
    share = a / a.amax(dim=(1, 2), keepdim=True).clamp(min=1)
    return (share.double() * 255).trunc()
