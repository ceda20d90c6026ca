"""SAMix is AutoMix with a mix block that sees both images at once, hears of lam, and is asked for contrast.

Li, Liu, Wang, Wu, Liu & Li, arXiv:2111.15454. Code: Westlake-AI/openmixup, the block and the trainer of
AutoMix with other options (configs/classification/cifar100/samix, the 800-epoch ResNet-18 config), and these
are the defaults here; `methods.automix` and `methods._mix_block` have the formulas. Queries and keys are of
both images' features joined, each by a convolution of its own; the value has a hidden layer (1x1, BatchNorm,
ELU); features are scaled by 1 + a curve of lam; masks are enlarged bilinearly; the mask's loss is 0.1 *
(max(|mean - lam| - 0.1, 0) - 2 variance), and a quarter of the batches have masks adjusted to lam.
Where paper and code differ: the paper's loss of the mix block balances a local and a global term by eta. The
configs hand eta (neg_weight 0.5) to a soft cross-entropy as weights of the classes that an image does not
have; their labels are 0 there, so it changes nothing, and the published numbers are of mixup's plain loss.
Its other form, a label-free loss for self-supervised pre-training (SAMix-P), is not built.
"""

from dataclasses import dataclass

from msda_train.methods.automix import AutoMix


@dataclass(frozen=True)
class SAMix(AutoMix):
    """x~ = s x_i + (1 - s) x_j, s = 1 - sigmoid(up(P v(z_j))), P = softmax(q(z_i, z_j)' k(z_i, z_j))."""

    upsample: str = "bilinear"
    lam_input: str = "scale"
    joint: bool = True
    deep_value: bool = True
    mask_variance: float = 2.0
    mask_adjust: float = 0.25
