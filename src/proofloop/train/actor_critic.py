"""The optimiser of a policy and of the scalar head on it: one gradient, two rates, one state."""

from collections.abc import Callable

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from proofloop.train.config import OptimiserKind, Schedule
from proofloop.train.optimiser import Optimiser, OptimiserConfig, Update, check_finite

_HEAD = "head."


class ActorCritic:
    """Steps over the policy's flat vector and over the head's, whose gradient comes after it.

    The policy's steps are those of `Optimiser`; the head's are AdamW's at a constant rate.  The
    norms that clipping looks at are each vector's own.
    """

    def __init__(
        self,
        policy: Tensor,
        head: Tensor,
        config: OptimiserConfig,
        *,
        head_learning_rate: float,
        head_alone: int = 0,
        after: Callable[[], None] | None = None,
    ) -> None:
        """`head_alone`: so many first updates leave the policy as it is."""
        self._sizes = [policy.numel(), head.numel()]
        self._policy = Optimiser(policy, config, after=after)
        self._head = Optimiser(
            head,
            OptimiserConfig(
                learning_rate=head_learning_rate,
                schedule=Schedule.CONSTANT,
                warmup_steps=0,
                weight_decay=0.0,
                grad_clip=config.grad_clip,
                kind=OptimiserKind.ADAMW,
            ),
        )
        self._head_alone = head_alone

    @property
    def num_updates(self) -> int:
        return self._head.num_updates

    def update(self, half: Tensor, other: Tensor) -> Update:
        """As `Optimiser.update`, of gradients [policy, head]; while the head learns alone, the
        update that is told of is the head's.

        Raises TrainingHalted, weights untouched, where the gradient is not finite.
        """
        halves = [half.split(self._sizes), other.split(self._sizes)]
        check_finite(half + other, self.num_updates + 1)
        head = self._head.update(halves[0][1], halves[1][1])
        if self._head.num_updates <= self._head_alone:
            return head
        return self._policy.update(halves[0][0], halves[1][0])

    def state(self) -> bytes:
        """All that the next update depends on, bit for bit (safetensors)."""
        head = {f"{_HEAD}{name}": t for name, t in load_tensors(self._head.state()).items()}
        return save_tensors({**load_tensors(self._policy.state()), **head})

    def restore(self, state: bytes) -> None:
        """Takes up `state()`; the shared vectors are written in place."""
        tensors = load_tensors(state)
        head = {n.removeprefix(_HEAD): t for n, t in tensors.items() if n.startswith(_HEAD)}
        policy = {n: t for n, t in tensors.items() if not n.startswith(_HEAD)}
        self._policy.restore(save_tensors(policy))
        self._head.restore(save_tensors(head))


def head_of(state: bytes) -> Tensor:
    """The head's weights in a state."""
    return torch.clone(load_tensors(state)[f"{_HEAD}weights"])
