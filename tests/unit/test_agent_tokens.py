"""An agent's conversation as tokens, under the templates that models come with."""

import json
from pathlib import Path

import pytest
from chat_templates import write_tokenizer

from proofloop.agent.dialects import Chat, NativeCalls, ShellBlocks
from proofloop.agent.tools import STANDARD
from proofloop.agent.transcript import Transcript
from proofloop.core.completion import Completion, PolicyVersion, SamplingParams, StopReason
from proofloop.core.episode import ToolResult
from proofloop.core.rollout import Rollout, RolloutId, Turn
from proofloop.core.task import TaskId
from proofloop.render.tokenizer import ChatTokenizer

SPECS = tuple(tool.spec for tool in STANDARD)


def _completion(tokens: tuple[int, ...], reason: StopReason = StopReason.STOP) -> Completion:
    zeros = (0.0,) * len(tokens)
    return Completion(
        tokens=tokens, logprobs=zeros, entropies=zeros, stop_reason=reason, seed=0,
        sampling=SamplingParams(), policy=PolicyVersion(step=0, sha256=""),
    )  # fmt: skip


def _say(transcript: Transcript, tokenizer: ChatTokenizer, text: str) -> None:
    tokens = (*tokenizer.encode(text), tokenizer.stop_ids[0])
    transcript.say({"role": "assistant", "content": text}, _completion(tokens))


@pytest.mark.parametrize("style", ["chatml", "llama3"])
def test_tokens_are_the_templates_text(style: str, tmp_path: Path) -> None:
    tokenizer = ChatTokenizer.load(write_tokenizer(tmp_path, style))
    messages: list[Chat] = [{"role": "user", "content": "Mend it."}]
    transcript = Transcript(tokenizer=tokenizer, tools=None, first=tuple(messages))
    for number in range(3):
        text = f"```bash\nls {number} <|im_start|>\n```"
        _say(transcript, tokenizer, text)
        (reply,) = ShellBlocks().replies((), (ToolResult(text=f"told {number}"),), "")
        transcript.reply([reply])
        messages += [{"role": "assistant", "content": text}, reply]
    tokens = [t for turn in transcript.turns for t in (*turn.context, *turn.completion.tokens)]
    assert (*tokens, *transcript.fresh) == transcript.seen
    seen = tokenizer.decode(transcript.seen, keep_special=True)
    assert seen == tokenizer.template.render(messages)


def test_native_calls_under_qwens_template(tmp_path: Path) -> None:
    """It drops earlier thoughts from what it renders; the tokens keep them, as sampled."""
    tokenizer = ChatTokenizer.load(write_tokenizer(tmp_path, "qwen3"))
    dialect = NativeCalls()
    first: tuple[Chat, ...] = ({"role": "user", "content": "Mend it."},)
    transcript = Transcript(tokenizer=tokenizer, tools=dialect.shown(SPECS), first=first)
    call = json.dumps({"name": "view", "arguments": {"path": "a"}})
    said = f"<think>\nhm\n</think>\n\n<tool_call>\n{call}\n</tool_call>"
    reading = dialect.read(said)
    assert [c.tool for c in reading.calls] == ["view"]
    for _ in range(2):
        _say(transcript, tokenizer, said)
        transcript.reply(dialect.replies(reading.calls, (ToolResult(text="<|im_end|>"),), ""))
    seen = tokenizer.decode(transcript.seen, keep_special=True)
    assert seen.count("<think>\nhm\n</think>") == 2
    assert seen.count(said) == 2
    assert "< |im_end|>" in seen, "defused"
    assert seen.endswith("<|im_start|>assistant\n")
    for turn in transcript.turns[1:]:
        assert "<|im_start|>" in tokenizer.decode(turn.context, keep_special=True)


def test_a_completion_that_was_cut_is_ended_for_it(tmp_path: Path) -> None:
    tokenizer = ChatTokenizer.load(write_tokenizer(tmp_path, "chatml"))
    first: tuple[Chat, ...] = ({"role": "user", "content": "x"},)
    transcript = Transcript(tokenizer=tokenizer, tools=None, first=first)
    cut = _completion(tokenizer.encode("half a"), StopReason.LENGTH)
    transcript.say({"role": "assistant", "content": "half a"}, cut)
    transcript.reply([{"role": "user", "content": "go on"}])
    assert tokenizer.decode(transcript.fresh, keep_special=True).startswith("<|im_end|>\n")
    assert cut.tokens == transcript.turns[0].completion.tokens


def test_each_sampled_token_stands_in_one_part() -> None:
    def turn(number: int, *, restarts: bool = False) -> Turn:
        return Turn(context=(number,), completion=_completion((number + 100,)), restarts=restarts)

    def parts(*turns: Turn) -> list[list[int]]:
        rollout = Rollout(id=RolloutId("r"), task_id=TaskId("t"), turns=turns, answer="")
        found = [[t.completion.tokens[0] - 100 for t in part] for part in rollout.contexts]
        assert sum(map(len, found)) == len(turns)
        return found

    assert parts() == []
    assert parts(turn(0), turn(1)) == [[0, 1]]
    assert parts(turn(0), turn(1), turn(2, restarts=True), turn(3)) == [[0, 1], [2, 3]]
    assert parts(turn(0, restarts=True), turn(1, restarts=True)) == [[0], [1]]
