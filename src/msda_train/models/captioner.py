"""A captioner that starts from a trained network: NIC, "Show and Tell", Vinyals et al., arXiv:1411.4555.

As stevehuanghe/image_captioning builds it: the network without its last linear layer, frozen; a linear layer
and BatchNorm make its features a word vector, which one LSTM layer reads first and without a word said; then
it reads the words from the start word on, and after each says the next. Weights begin as that program's: of
the first linear layer normal, of the words' vectors and of the last layer uniform, the LSTM's as torch has
them. While training the network is in training mode, too: its BatchNorm takes the batch's moments, and its
running averages move, though no weight of it does.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from msda_train.core.errors import UserError
from msda_train.models.last_linear import given_to, last_linear


class Captioner(nn.Module):
    """network: is copied; vocabulary: how many words there are, V; embed: numbers of a word's vector; hidden:
    of the LSTM; dropout: of what it gives. UserError where the network has no linear layer."""

    def __init__(self, network: nn.Module, vocabulary: int, embed: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.network = deepcopy(network).requires_grad_(False)
        linear = last_linear(self.network)
        if linear is None:
            raise UserError(f"model: {type(network).__name__} does not end in a linear layer")
        self.image = nn.Linear(linear.in_features, embed)
        self.norm = nn.BatchNorm1d(embed, momentum=0.01)
        self.embed = nn.Embedding(vocabulary, embed)
        self.lstm = nn.LSTM(embed, hidden, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.next = nn.Linear(hidden, vocabulary)
        nn.init.normal_(self.image.weight, std=0.02)
        nn.init.zeros_(self.image.bias)
        nn.init.uniform_(self.embed.weight, -0.1, 0.1)
        nn.init.uniform_(self.next.weight, -0.1, 0.1)
        nn.init.zeros_(self.next.bias)

    @property
    def learned(self) -> list[nn.Parameter]:
        """The weights of the new layers."""
        return [weight for weight in self.parameters() if weight.requires_grad]

    def features(self, images: Tensor) -> Tensor:
        """What the network's last linear layer is given for normalised images (B, C, H, W): (B, C') float32,
        without a gradient."""
        linear = last_linear(self.network)
        assert linear is not None
        with torch.no_grad(), given_to(linear) as given:
            self.network(images)
        return given[-1].float()

    def forward(self, features: Tensor, words: Tensor) -> Tensor:
        """Logits (B, T, V) of the word after each of `words` (B, T), the first of which is the start word."""
        read = torch.cat([self._image(features), self.embed(words)], dim=1)  # (B, 1 + T, embed)
        heard, _ = self.lstm(read)
        made: Tensor = self.next(self.dropout(heard[:, 1:]))
        return made

    @torch.no_grad()
    def say(self, features: Tensor, start: int, beams: int, length: int) -> Tensor:
        """(B, length) numbers of words: the likeliest that a search with `beams` beams finds.

        Of each image the best `beams` beginnings are kept, by the sum of log-probabilities, and each goes on
        with every word. No beam ever ends, as in the program: whoever reads the words stops at an end word,
        and what follows it has counted.
        """
        images = len(features)
        _, state = self.lstm(self._image(features))
        first = torch.arange(images, device=features.device)[:, None]  # an image's number
        last = torch.full((images, 1), start, device=features.device)  # (B, beams so far)
        said = last.new_empty(images, 1, 0)
        scores = features.new_zeros(images, 1)
        for _ in range(length):
            heard, state = self.lstm(self.embed(last.reshape(-1, 1)), state)
            each = F.log_softmax(self.next(heard[:, 0]), dim=1).view(*scores.shape, -1)
            total = (scores[:, :, None] + each).flatten(1)
            now, vocabulary = scores.shape[1], each.shape[2]
            scores, place = total.topk(min(beams, total.shape[1]), dim=1)  # best first
            beam, last = place // vocabulary, place % vocabulary
            rows = (first * now + beam).flatten()
            state = (state[0][:, rows], state[1][:, rows])
            kept = said.gather(1, beam[:, :, None].expand(-1, -1, said.shape[2]))
            said = torch.cat([kept, last[:, :, None]], dim=2)
        return said[:, 0]

    def _image(self, features: Tensor) -> Tensor:
        """(B, 1, embed)."""
        made: Tensor = self.norm(self.image(features))[:, None]
        return made


def word_loss(logits: Tensor, targets: Tensor, said: Tensor) -> Tensor:
    """Cross-entropy of `targets` (B, T) where `said` (B, T) is true, divided by all B x T places, the padded
    ones too: so in the program, and so in long batches each word counts less."""
    each = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return (each * said.flatten()).mean()
