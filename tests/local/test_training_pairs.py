"""Preference pairs in whole runs: DPO, reward models, and training against one."""

import json
import math
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from tiny_runs import StopAfter, ignore, remember, tiny_recipe

from proofloop.core.errors import ConfigError, DataError, ModelError, RunError
from proofloop.engine.models.checkpoint import load_model
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.checks import load_recipe
from proofloop.runs.length_bias import FILE_NAME, LengthReport
from proofloop.runs.pairs import pairs_of_run, read_pairs
from proofloop.runs.recipe import Recipe
from proofloop.runs.reward_models import HEAD_NAME, load_reward_model
from proofloop.runs.training import run_training
from proofloop.store import Phase, RunStore
from proofloop.train.actor_critic import head_of
from proofloop.train.config import LengthCorrection, Method, PreferenceConfig

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@pytest.fixture(scope="module")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short answers are preferred; forty prompts."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows: list[dict[str, Any]] = []
    for i in range(40):
        asked = f"write {WORDS[i % 10]} and {WORDS[i // 4]}, number {i}"
        chosen, rejected = f"def f(x):\n    return x + {i % 7}\n", "x = 1\n" * (2 + i % 5)
        row: dict[str, Any] = {"chosen": chosen, "rejected": rejected, "score": 1}
        if i % 2:
            row |= {"prompt": asked}
        else:
            row |= {"messages": [{"role": "user", "content": asked}]}
            row["chosen"] = [{"role": "assistant", "content": chosen}]
        rows.append(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def recipe(model: Path, method: Method, source: PreferenceConfig, **train: Any) -> Recipe:
    keys: dict[str, Any] = {"learning_rate": 1e-3, "num_steps": 6, "tasks_per_step": 12}
    made = tiny_recipe(model, method=method, **(keys | train))
    evals = msgspec.structs.replace(made.eval, every=0, final_num_tasks=2, final_num_samples=2)
    return msgspec.structs.replace(made, preference=source, reward=Recipe().reward, eval=evals)


def metrics(run: Path, name: str) -> list[float]:
    with RunStore.read(run) as store:
        return [value for _, value in store.metrics(name)]


@pytest.mark.parametrize("which", ["whole", "reward_run"])
def test_every_step_leaves_its_metrics(which: str, request: pytest.FixtureRequest) -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "store.md").read_text()
    of_pairs = page.partition("| Of pairs | Meaning |")[2].partition("\n\n")[0]
    documented = set(re.findall(r"^\| `(\w+)`", of_pairs, re.M))
    shared = {"loss", "grad_norm", "signal_share", "learning_rate", "num_trained_tokens"}
    shared |= {"train_s", "trained_tokens_per_s", "step_s"}
    with RunStore.read(request.getfixturevalue(which)) as store:
        assert set(store.metric_names()) == documented | shared


def policy_recipe(model: Path, pairs: Path) -> Recipe:
    return recipe(model, Method.DPO, PreferenceConfig(data=str(pairs), heldout_share=0.2))


@pytest.fixture(scope="module")
def whole(tiny_model: Path, pairs_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("dpo") / "whole"
    run_training(policy_recipe(tiny_model, pairs_file), run, resume=False, on_progress=ignore)
    return run


def test_dpo_prefers_what_was_chosen_also_on_prompts_that_it_never_saw(whole: Path) -> None:
    assert metrics(whole, "loss")[0] == pytest.approx(math.log(2), abs=1e-5), "policy = reference"
    assert metrics(whole, "loss")[-1] < 0.6
    assert metrics(whole, "heldout_pair_accuracy")[-1] == 1
    assert metrics(whole, "num_pairs") == [12] * 6
    load_model(whole / "model")
    with RunStore.read(whole) as store:
        assert store.recorded_steps(Phase.EVAL) == [0, 6], "the policy is measured as any other"
        (said,) = [e.message for e in store.events() if e.kind == "pairs"]
        assert said.startswith("32 pairs of ")
        assert ", 8 of other prompts" in said


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_weights(
    tiny_model: Path, pairs_file: Path, whole: Path, tmp_path: Path
) -> None:
    settings, stopped = policy_recipe(tiny_model, pairs_file), tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        run_training(settings, stopped, resume=False, on_progress=StopAfter(3))
    run_training(settings, stopped, resume=True, on_progress=ignore)
    assert remember(stopped) == remember(whole)


@pytest.fixture(scope="module")
def reward_run(
    tiny_model: Path, pairs_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    run = tmp_path_factory.mktemp("reward") / "run"
    source = PreferenceConfig(
        data=str(pairs_file), heldout_share=0.3, length_correction=LengthCorrection.REGRESS
    )
    run_training(
        recipe(tiny_model, Method.REWARD_MODEL, source), run, resume=False, on_progress=ignore
    )
    return run


def test_a_reward_model_is_a_checkpoint_a_head_and_what_it_makes_of_length(
    reward_run: Path,
) -> None:
    assert metrics(reward_run, "loss")[0] == pytest.approx(math.log(2), abs=1e-5), "begins at 0"
    assert metrics(reward_run, "heldout_pair_accuracy")[-1] == 1
    load_model(reward_run / "reward-model")
    assert not (reward_run / "model").exists()
    found = load_reward_model(reward_run)
    trainer = (reward_run / "checkpoints" / "step-000006" / "trainer.safetensors").read_bytes()
    assert torch.equal(found.head, head_of(trainer))
    report = msgspec.json.decode((reward_run / FILE_NAME).read_bytes(), type=LengthReport)
    assert report.num_pairs == 12
    assert report.raw.slope is not None
    assert not report.raw.slope.within_tasks, "one pair a prompt"
    assert report.slope_removed == found.settings.length_slope != 0
    assert report.corrected is not None
    with RunStore.read(reward_run) as store:
        said = [e.message for e in store.events() if e.kind == "length_bias"]
        assert len(said) == 2
        assert said[0].startswith("length bias on 12 held-out pairs: score ")
        assert store.recorded_steps(Phase.EVAL) == [], "a reward model answers nothing"


@pytest.fixture(scope="module")
def by_scores(tiny_model: Path, reward_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained against the reward model."""
    run = tmp_path_factory.mktemp("scores") / "run"
    reward = msgspec.structs.replace(Recipe().reward, model=str(reward_run))
    settings = msgspec.structs.replace(tiny_recipe(tiny_model, num_steps=2), reward=reward)
    run_training(settings, run, resume=False, on_progress=ignore)
    return run


def test_training_against_it_is_by_its_scores_and_keeps_the_verdicts(
    tiny_model: Path, reward_run: Path, by_scores: Path
) -> None:
    with RunStore.read(by_scores) as store:
        train = [row for row in store.iter_rollouts(phase=Phase.TRAIN) if not row.tripwire]
        rewards = {row.reward for row in train}
        assert len(rewards) > 20, "scores, not verdicts"
        assert not any(row.passed for row in train), "of random weights, and still proven"
        assert {row.reward for row in store.iter_rollouts(phase=Phase.EVAL)} == {0.0}
        groups = store.load_groups(Phase.TRAIN, 1)
    tokenizer = ChatTokenizer.load(tiny_model)
    (judged, *_) = [j for g in groups if not g.tripwire for j in g.group.attempts]
    assert tokenizer.decode(judged.rollout.turns[0].completion.tokens) == judged.rollout.answer
    verdict: Any = judged.verdict
    assert verdict.reward == pytest.approx(_reward_by_hand(reward_run, judged.rollout), abs=2e-4)


@torch.no_grad()
def _reward_by_hand(run: Path, rollout: Any) -> float:
    found = load_reward_model(run)
    model = load_model(found.model_path)
    (turn,) = rollout.turns
    tokens = torch.tensor([[*turn.context, *turn.completion.tokens]])
    hidden, _ = model.encode_context(tokens, torch.tensor([tokens.shape[1]]))
    weight, bias = found.head[:-1], found.head[-1]
    score = float((hidden[0, -1] * weight).sum() + bias)
    length = found.settings.length_slope * len(turn.completion.tokens) / 100
    return score - length - found.settings.center


def test_no_reward_model_where_there_is_none(tiny_model: Path, tmp_path: Path) -> None:
    reward = msgspec.structs.replace(Recipe().reward, model=str(tiny_model))
    settings = msgspec.structs.replace(tiny_recipe(tiny_model), reward=reward)
    with pytest.raises(ModelError, match=r"^reward\.model: .* holds no reward model \(reward_head"):
        run_training(settings, tmp_path / "run", resume=False, on_progress=ignore)
    (tmp_path / HEAD_NAME).write_bytes(b"?")
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes((tiny_model / name).read_bytes())
    with pytest.raises(ModelError, match="damaged or of another model"):
        load_reward_model(tmp_path)


GOOD: dict[str, Any] = {"prompt": "say a", "chosen": "a", "rejected": "b"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"chosen": ""}, "chosen is empty; take the row out, or give it an answer"),
        ({"rejected": "a"}, "chosen and rejected are the same, so nothing is preferred"),
        ({"prompt": None}, "needs a prompt or messages, one of the two"),
        ({"messages": [{"role": "user", "content": "x"}]}, "needs a prompt or messages, one of"),
        ({"prompt": " "}, "an empty prompt"),
        ({"chosen": 3}, r"Expected .*, got int, at chosen; each line is a JSON object with prompt"),
        ({"prompt": [{"role": "assistant", "content": "x"}]}, "ends with an assistant's message"),
        ({"chosen": [{"role": "user", "content": "x"}]}, "chosen is a list of 1 messages; it must"),
        ({"chosen": "word " * 3000}, r"\d+ tokens, and the model reads \d+; shorten it"),
    ],
)
def test_a_row_that_is_no_pair_is_named(
    change: dict[str, Any], says: str, tiny_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps(GOOD | change) + "\n")
    room = load_model(tiny_model).config.max_position_embeddings
    with pytest.raises(DataError, match=rf"pairs\.jsonl, line 2: .*{says}"):
        read_pairs(path, ChatTokenizer.load(tiny_model), max_positions=room)


def test_no_rows_and_no_file(tiny_model: Path, tmp_path: Path) -> None:
    tokenizer = ChatTokenizer.load(tiny_model)
    with pytest.raises(DataError, match="no such file"):
        read_pairs(tmp_path / "none.jsonl", tokenizer, max_positions=99)
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(DataError, match="no rows"):
        read_pairs(tmp_path / "empty.jsonl", tokenizer, max_positions=99)


def test_a_run_without_right_answers_has_no_pairs(by_scores: Path) -> None:
    with (
        RunStore.read(by_scores) as source,
        pytest.raises(RunError, match="no task of its training has both a right and a wrong"),
    ):
        pairs_of_run(source, pairs_per_task=4, seed=0)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["train.method=dpo"], r"preference\.data: none given with train\.method = dpo"),
        (
            ["preference.data=x"],
            r"preference\.data: preference\.data given with train\.method = rl",
        ),
        (
            ["train.method=dpo", "preference.data=x", "preference.run=y"],
            "preference.data and preference.run given",
        ),
        (
            ["train.method=dpo", "preference.data=x", "preference.label_smoothing=0.5"],
            "must be below 0.5",
        ),
        (
            ["train.method=dpo", "preference.data=x", "preference.length_correction=offset"],
            r"preference\.length_correction: offset does not go with train\.method = dpo",
        ),
        (
            ["train.method=reward-model", "preference.data=x", "preference.reference_free=true"],
            r"preference\.reference_free: True does not go with",
        ),
        (
            ["train.method=reward-model", "preference.data=x", "preference.heldout_share=0"],
            "leaves nothing to measure",
        ),
        (
            ["train.method=dpo", "preference.data=x", "train.updates_per_step=2"],
            r"train\.updates_per_step: 2 must be 1",
        ),
        (["reward.model=x", "reward.control=random"], r"reward\.model: x does not go with reward"),
        (["reward.model=x", "feedback.arm=retry"], r"does not go with feedback\.arm = retry"),
        (["train.algorithm=ppo", "train.advantage_scale=group"], "of tokens, not of groups"),
        (["train.algorithm=ppo", "train.gamma=1.5"], r"train\.gamma: 1\.5 must be at most 1"),
        (["train.algorithm=ppo", "train.learn_from=rewarded"], "expects nothing else"),
        (["train.algorithm=ppo", "feedback.arm=distil"], "both say what a token is worth"),
    ],
)
def test_what_does_not_go_together_is_said_when_the_recipe_is_loaded(
    overrides: list[str], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        load_recipe("quickstart", overrides)
