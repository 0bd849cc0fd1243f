"""TRL's `accuracy_reward`, as `GRPOTrainer` calls it with `reward_funcs=accuracy_reward`."""

from trl.rewards import accuracy_reward


def passes(question, answer):
    completions = [[{"role": "assistant", "content": answer}]]
    return accuracy_reward(completions, [f"$\\boxed{{{question['gold']}}}$"]) == [1.0]
