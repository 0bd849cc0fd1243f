"""Algorithms as presets: what `train.algorithm = "…"` fills into the section `train`.

Each function is one algorithm's row, with its paper's equation; a key that the recipe sets itself
wins.  Rewards r_i of the G answers o_i to a prompt q; A_i advantages; pi the policy, old the one
that sampled, ref the starting weights; w_it = pi(o_it) / old(o_it).  Loads no torch.
"""

from collections.abc import Callable, Mapping

Keys = Mapping[str, str | float | int]


def reinforce() -> Keys:
    """Williams 1992 ("Simple statistical gradient-following algorithms"), eq. 2 with baseline 0.

    J = mean_i sum_t r_i log pi(o_it)
    """
    return {
        **_UNBIASED,
        "baseline": "none",
        "kl_weight": 0.0,
    }


def rloo() -> Keys:
    """Ahmadian et al. 2024 (arXiv:2402.14740), section 2.2: REINFORCE, leave-one-out.

    J = mean_i sum_t A_i log pi(o_it),   A_i = R_i - mean_{j != i} R_j

    The paper's R_i is r_i - beta log(pi(o_i) / ref(o_i)), against a learned reward; a proven one
    needs no such leash.  `train.kl_weight = beta` is the paper's: the two other keys are.
    """
    return {
        **_UNBIASED,
        "baseline": "leave_one_out",
        "kl_weight": 0.0,
        "kl_in": "reward",
        "kl_estimator": "k1",
    }


def grpo() -> Keys:
    """Shao et al. 2024 (DeepSeekMath, arXiv:2402.03300), eq. 3 and 4; beta 0.04, section 4.2.

    J = mean_i mean_t { min(w_it A_i, clip(w_it, 1 - e, 1 + e) A_i) - beta k3_it },
    A_i = (r_i - mean r) / std r,   k3_it = ref/pi - log(ref/pi) - 1
    """
    return {
        **_CLIPPED,
        "advantage_scale": "group",
        "aggregation": "sequences",
        "kl_weight": 0.04,
        "kl_estimator": "k3",
        "kl_in": "loss",
    }


def dr_grpo() -> Keys:
    """Liu et al. 2025 (arXiv:2503.20783), section 3.2: GRPO without its two divisions, no KL.

    J = mean_i (1 / max_tokens) sum_t min(w_it A_i, clip(w_it, 1 - e, 1 + e) A_i),
    A_i = r_i - mean r
    """
    return {
        **_CLIPPED,
        "advantage_scale": "none",
        "aggregation": "constant",
        "kl_weight": 0.0,
    }


def dapo() -> Keys:
    """Yu et al. 2025 (arXiv:2503.14476), eq. 8 to 11, and overlong filtering (section 3.4).

    J = sum_i sum_t min(w_it A_i, clip(w_it, 0.8, 1.28) A_i) / sum_i |o_i|,
    A_i = (r_i - mean r) / std r,   0 < number of right answers < G: others are drawn until so.

    Here for at most ten rounds.  The paper's soft punishment of long answers is not built.
    """
    return {
        **_CLIPPED,
        "advantage_scale": "group",
        "clip_high": 0.28,
        "aggregation": "tokens",
        "kl_weight": 0.0,
        "ties": "drop",
        "truncated": "drop",
        "refill": 10,
    }


def gspo() -> Keys:
    """Zheng et al. 2025 (arXiv:2507.18071), eq. 5 to 7; ranges of section 5.1.

    J = mean_i min(s_i A_i, clip(s_i, 1 - 3e-4, 1 + 4e-4) A_i),
    s_i = (pi(o_i) / old(o_i))^(1 / |o_i|),   A_i = (r_i - mean r) / std r
    """
    return {
        **_CLIPPED,
        "advantage_scale": "group",
        "loss": "gspo",
        "clip_low": 3e-4,
        "clip_high": 4e-4,
        "aggregation": "sequences",
        "kl_weight": 0.0,
    }


def cispo() -> Keys:
    """MiniMax-M1 2025 (arXiv:2506.13585), eq. 4 and 5, with DAPO's dynamic sampling.

    J = sum_i sum_t sg(min(w_it, cap)) A_i log pi(o_it) / sum_i |o_i|,
    A_i = (r_i - mean r) / std r

    The paper does not print its cap; 5 is that of ScaleRL (arXiv:2510.13786).
    """
    return {
        **_PLAIN,
        "baseline": "group",
        "advantage_scale": "group",
        "loss": "cispo",
        "cispo_cap": 5.0,
        "aggregation": "tokens",
        "kl_weight": 0.0,
        "refill": 10,
    }


def proofloop() -> Keys:
    """What a recipe without `train.algorithm` does: CISPO's loss on advantages over the batch's
    standard deviation (ScaleRL, Khatri et al. 2025), groups without variance left out.

    J = sum_i sum_t sg(min(w_it, 5)) A_i log pi(o_it) / sum_i |o_i|,
    A_i = (r_i - mean r of its group) / std of the batch's numerators
    """
    return {
        **_PLAIN,
        "baseline": "group",
        "advantage_scale": "batch",
        "loss": "cispo",
        "cispo_cap": 5.0,
        "aggregation": "tokens",
        "kl_weight": 0.0,
    }


def rft() -> Keys:
    """Rejection fine-tuning inside the loop: the likelihood of what was right (Yuan et al. 2023,
    arXiv:2308.01825, section 3.3; as an iteration, Zelikman et al. 2022, STaR).

    J = sum_{i: r_i > 0} sum_t r_i log pi(o_it) / sum_{i: r_i > 0} |o_i|
    """
    return {
        **_PLAIN,
        "baseline": "none",
        "advantage_scale": "none",
        "loss": "likelihood",
        "learn_from": "rewarded",
        "aggregation": "tokens",
        "kl_weight": 0.0,
    }


def ppo() -> Keys:
    """Schulman et al. 2017 (arXiv:1707.06347), eq. 7 and 9, on tokens as in Ouyang et al. 2022
    (InstructGPT, arXiv:2203.02155: gamma 1, lambda 0.95), with a value head on the policy's layers.

    J = mean_it { min(w_it A_it, clip(w_it, 1 - e, 1 + e) A_it)
                  - c max((V_it - R_it)², (cut(V_it) - R_it)²) / 2 },
    A_it = sum_l (gamma lambda)^l delta_{t+l}, whitened;   R_it = A_it + V_old(s_it)

    The verdict's reward comes with the last token; the papers' leash to the start is `kl_weight`.
    """
    return {
        **_CLIPPED,
        "baseline": "value",
        "advantage_scale": "batch",
        "aggregation": "tokens",
        "gamma": 1.0,
        "gae_lambda": 0.95,
        "value_weight": 0.5,
        "value_clip": 0.2,
        "kl_weight": 0.0,
    }


_PLAIN: Keys = {
    "ties": "drop",
    "truncated": "reward",
    "learn_from": "all",
    "refill": 0,
    "correction": "none",
}
_CLIPPED: Keys = {
    **_PLAIN,
    "baseline": "group",
    "loss": "clip",
    "clip_low": 0.2,
    "clip_high": 0.2,
    "dual_clip": 0.0,
    "ties": "keep",
}
"""PPO's surrogate; the papers' means go over all groups, those without variance too."""
_UNBIASED: Keys = {
    **_PLAIN,
    "advantage_scale": "none",
    "loss": "policy_gradient",
    "aggregation": "constant",
    "ties": "keep",
}
"""The sum over each answer, up to the constant 1 / max_tokens, which AdamW does not see."""

_ALL: tuple[Callable[[], Keys], ...] = (
    reinforce,
    rloo,
    grpo,
    dr_grpo,
    dapo,
    gspo,
    cispo,
    proofloop,
    rft,
    ppo,
)
ALGORITHMS: Mapping[str, Keys] = {preset.__name__: preset() for preset in _ALL}
"""By the name that recipes give."""
