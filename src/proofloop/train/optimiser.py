"""AdamW (or plain descent) over one flat vector, with steps as long as the gradient is signal.

A batch's gradient is the true one plus the noise of its draws, and Adam gives both the same length:
with rewards that are pure chance it walks at random, as fast as it learns from true ones. Two
halves of a batch that share no task tell signal from noise, because only the signal agrees.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, assert_never

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from proofloop.core.errors import TrainingHalted
from proofloop.core.record import Record
from proofloop.train.config import OptimiserKind, Schedule

BETAS = (0.9, 0.95)
SIGNAL_MEMORY = 0.9
"""What the past counts for in `SignalShare`, an update back: about ten updates count."""


class OptimiserConfig(Record):
    """The recipe's section `train` says what each means."""

    learning_rate: float
    schedule: Schedule
    warmup_steps: int
    weight_decay: float
    grad_clip: float
    kind: OptimiserKind = OptimiserKind.ADAMW


class Update(NamedTuple):
    """What one update was like."""

    grad_norm: float
    """Before clipping."""
    learning_rate: float
    signal_share: float


NO_UPDATE = Update(grad_norm=0.0, learning_rate=0.0, signal_share=0.0)
"""A step without a group that has variance teaches nothing."""


class SignalShare:
    """The share of a batch gradient's squared length that is signal, |E g|² / E|g|², as far as it
    is sure: the lower end of an interval, in [0, 1].

    Over halves g = a + b of independent tasks, E[4 a·b] = |E g|²; the share 4 a·b / |g|² of single
    updates is averaged over about the last ten, and three standard errors are taken off, so that a
    reward of pure chance moves nothing.  The share is 1 / (1 + B_noise / B) of McCandlish et al.
    2018 ("An empirical model of large-batch training"), by which, in their eq. 2.7, the best step
    is shorter than without noise.
    """

    def __init__(self) -> None:
        self.sums = torch.zeros(4, dtype=torch.float64)
        """Of weights, squared weights, weighted shares and weighted squared shares."""

    def observe(self, agreement: float | None, norm: float) -> None:
        """`agreement`: of the halves (`agreement_of`); `norm`: of their sum."""
        if not norm or agreement is None:
            return
        share = 4 * agreement / norm**2
        now = torch.tensor([1.0, 1.0, share, share**2], dtype=torch.float64)
        memory = torch.tensor([1, SIGNAL_MEMORY, 1, 1], dtype=torch.float64) * SIGNAL_MEMORY
        self.sums = memory * self.sums + now

    @property
    def value(self) -> float:
        """1 before anything was seen: rare successes, a group a step, must be able to start.  0
        after one update, whose error nobody knows."""
        weight, squared_weight, total, squared_total = self.sums.tolist()
        if not weight:
            return 1.0
        share_of_one = squared_weight / weight**2  # 1 / (number of updates that count)
        if share_of_one == 1:
            return 0.0
        mean = total / weight
        variance = max(0.0, squared_total / weight - mean**2) / (1 - share_of_one)
        return max(0.0, mean - 3 * math.sqrt(variance * share_of_one))


def agreement_of(half: Tensor, other: Tensor) -> float | None:
    """The product of two halves' gradients; None where one of them has none and cannot tell."""
    agreement = float(half.dot(other))
    return agreement if agreement or (half.any() and other.any()) else None


class Optimiser:
    """Steps over the flat vector of weights, which workers see through shared memory."""

    def __init__(
        self, flat: Tensor, config: OptimiserConfig, *, after: Callable[[], None] | None = None
    ) -> None:
        """`after`: called whenever the vector has changed, by whoever derives weights from it."""
        self._config = config
        self._after = after
        self._weights = torch.nn.Parameter(flat, requires_grad=False)
        self._stepper = _stepper(self._weights, config)
        self._signal = SignalShare()
        self.num_updates = 0

    def update(self, half: Tensor, other: Tensor) -> Update:
        """One update with the gradient half + other, of disjoint tasks, which `half` is made into.

        Raises TrainingHalted, weights untouched, where the gradient is not finite.
        """
        agreement = agreement_of(half, other)
        gradient = half.add_(other)
        norm = check_finite(gradient, self.num_updates + 1)
        self._signal.observe(agreement, norm)
        rate = self._rate()
        if norm > self._config.grad_clip:
            gradient.mul_(self._config.grad_clip / norm)
        self._weights.grad = gradient
        for group in self._stepper.param_groups:
            group["lr"] = rate
        self._stepper.step()
        self._weights.grad = None
        self.num_updates += 1
        if self._after is not None:
            self._after()
        return Update(grad_norm=norm, learning_rate=rate, signal_share=self._signal.value)

    def _rate(self) -> float:
        warmup = min(1.0, (self.num_updates + 1) / max(1, self._config.warmup_steps))
        match self._config.schedule:
            case Schedule.CONSTANT:
                scale = 1.0
            case Schedule.SIGNAL:
                scale = self._signal.value
        return self._config.learning_rate * warmup * scale

    def state(self) -> bytes:
        """All that the next update depends on, bit for bit (safetensors)."""
        moments = self._stepper.state.get(self._weights)
        zeros = torch.zeros(self._weights.shape)
        return save_tensors(
            {
                "weights": self._weights.detach().to("cpu", copy=True),
                "exp_avg": moments["exp_avg"].cpu() if moments else zeros,
                "exp_avg_sq": moments["exp_avg_sq"].cpu() if moments else zeros.clone(),
                "num_updates": torch.tensor(self.num_updates),
                "signal_sums": self._signal.sums,
            }
        )

    def restore(self, state: bytes) -> None:
        """Takes up `state()`; the shared vector is written in place."""
        tensors = load_tensors(state)
        self._weights.data.copy_(tensors["weights"])
        if self._after is not None:
            self._after()
        self._signal.sums = tensors["signal_sums"]
        self.num_updates = int(tensors["num_updates"])
        if self.num_updates and self._config.kind is OptimiserKind.ADAMW:
            # All of it where the weights are, the count, too: the fused step reads it there.
            device = self._weights.device
            self._stepper.state[self._weights] = {
                "step": torch.tensor(float(self.num_updates), device=device),
                "exp_avg": tensors["exp_avg"].to(device),
                "exp_avg_sq": tensors["exp_avg_sq"].to(device),
            }


def check_finite(gradient: Tensor, number: int) -> float:
    """The norm of the gradient of an update, counted from 1.  Raises TrainingHalted where it is not
    finite."""
    norm = float(gradient.norm())
    if not math.isfinite(norm):
        raise TrainingHalted(
            f"update {number}: the gradient's norm is {norm}; the weights were "
            "left as they were. Lower train.learning_rate or look at the step with "
            "`proofloop peek`"
        )
    return norm


def _stepper(weights: torch.nn.Parameter, config: OptimiserConfig) -> torch.optim.Optimizer:
    match config.kind:
        case OptimiserKind.ADAMW:
            return torch.optim.AdamW(
                [weights],
                lr=config.learning_rate,
                betas=BETAS,
                weight_decay=config.weight_decay,
                fused=True,
            )
        case OptimiserKind.SGD:
            return torch.optim.SGD(
                [weights], lr=config.learning_rate, weight_decay=config.weight_decay
            )
        case _:
            assert_never(config.kind)
