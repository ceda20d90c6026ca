"""What a network makes of images on the way to its logits, as vectors."""

from torch import Tensor, nn

from msda_train.core.errors import UserError
from msda_train.models.last_linear import given_to, last_linear


def stages_of(network: nn.Module) -> list[nn.Module]:
    """The stages of a network of the suite (`models.staged.Staged`); UserError where it has none."""
    stages = getattr(network, "stages", None)
    if not isinstance(stages, nn.ModuleList) or len(stages) < 2:
        raise UserError(
            f"probes: {type(network).__name__} has no list of stages to look into; leave this probe out, or "
            f"build the network as msda_train.models.staged.Staged"
        )
    return list(stages)


def hidden(network: nn.Module, x: Tensor) -> list[Tensor]:
    """What each stage but the last makes of normalised images x (B, C, H, W), averaged over the image, and
    then the input of the classifier: float32, all (B, C_k).

    The classifier is the last linear layer of the last stage; where there is none, the last stage itself.
    """
    *body, head = stages_of(network)
    found = []
    for stage in body:
        x = stage(x)
        found.append(_vectors(x))
    linear = last_linear(head)
    if linear is None:
        return [*found, found[-1]]
    with given_to(linear) as seen:
        head(x)
    return [*found, _vectors(seen[0])]


def _vectors(h: Tensor) -> Tensor:
    return (h.mean(dim=(2, 3)) if h.dim() == 4 else h).float()
