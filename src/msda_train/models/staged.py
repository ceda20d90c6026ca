"""A model is a list of stages. That is all it knows about mixing, and all Manifold Mixup needs."""

from collections.abc import Iterable

from torch import Tensor, nn

from msda_train.mix import Mix


class Staged(nn.Module):
    """Stages applied one after another; the input of stage k is where a `Mix` of depth k acts."""

    def __init__(self, stages: Iterable[nn.Module]):
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor, mix: Mix | None = None) -> Tensor:
        """Logits (B, K) for images x (B, C, H, W); `mix` is None in evaluation."""
        for k, stage in enumerate(self.stages):
            if mix is not None and mix.depth == k:
                x = mix.apply(x)
            x = stage(x)
        return x


class GlobalMean(nn.Module):
    """(B, C, H, W) -> (B, C): average pooling over whatever is left of the image."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return x.mean(dim=(2, 3))
