"""A number for every token: a linear layer on the decoder's final hidden states, in float32.

What a state is worth (`train.values`) or, after the last token, what an answer is worth (a reward
model).  It is no part of the checkpoint: what is sampled from never has it.
"""

from torch import Tensor, nn


class ScalarHead(nn.Module):
    """Begins at 0 everywhere: nothing is known yet, and the layers below get no gradient of it
    before it has learned something itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, C) -> (…)."""
        return self.score(hidden.float())[..., 0]
