"""Tokens of messages: those of Transformers' `apply_chat_template`, template by template."""

import datetime
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from chat_templates import STYLES, small_tokenizer, write_tokenizer

from proofloop.core.errors import ModelError
from proofloop.core.task import Message
from proofloop.render.prefix import check_prefix_preserving, prefix_faults
from proofloop.render.templates import ChatTemplate
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.models import resolve_model


def chat(*contents: str, system: str | None = None) -> tuple[Message, ...]:
    """Questions and answers in turn."""
    roles = ("user", "assistant")
    turns = [Message(role=roles[i % 2], content=c) for i, c in enumerate(contents)]  # type: ignore[arg-type]
    return (*([Message(role="system", content=system)] if system else []), *turns)


CHATS = {
    "one question": chat("What is 17 + 4?"),
    "several turns": chat(
        "Who?", "Nobody knows.", "  Why \n not?\n", "It is 21.", "naïve 数学 <b>&"
    ),
    "with a system": chat("What is it?", "It.", "And?", system="  You are careful. 'x'\n"),
    "thoughts": chat("a", "<think>\nstep by step\n</think>\n\nIt is 21.", "b"),
    "ends in an answer": chat("a", "<think>\n1 2 3\n</think>\n\nb"),
}


@pytest.fixture(name="transformers")
def _transformers() -> Any:
    return pytest.importorskip("transformers", reason="transformers is not installed")


def theirs_at(transformers: Any, directory: Path) -> Any:
    return transformers.PreTrainedTokenizerFast.from_pretrained(directory)


def plain(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in messages]


@pytest.mark.parametrize("name", CHATS)
@pytest.mark.parametrize("style", STYLES)
def test_tokens_are_those_of_transformers(
    transformers: Any, style: str, name: str, tmp_path: Path
) -> None:
    messages = CHATS[name]
    theirs = theirs_at(transformers, write_tokenizer(tmp_path, style))
    ours = ChatTokenizer.load(tmp_path)
    if style == "mistral" and messages[0].role == "system":
        with pytest.raises(ModelError, match="roles must alternate"):
            ours.text(messages)
        return
    for ask in (True, False):
        text = theirs.apply_chat_template(
            plain(messages), add_generation_prompt=ask, tokenize=False
        )
        assert ours.text(messages, add_generation_prompt=ask) == text
        ids = theirs.apply_chat_template(plain(messages), add_generation_prompt=ask)
        ids = ids if isinstance(ids, list) else ids["input_ids"]
        assert list(ours.encode(ours.text(messages, add_generation_prompt=ask))) == ids
    context = ours.context(messages)
    assert ours.decode(context, keep_special=True) == ours.text(messages)
    assert ours.decode(context) == theirs.decode(list(context), skip_special_tokens=True)


@pytest.mark.parametrize("place", ["list", "file", "files"])
def test_a_template_is_found_where_transformers_finds_it(
    transformers: Any, place: str, tmp_path: Path
) -> None:
    theirs = theirs_at(transformers, write_tokenizer(tmp_path, "chatml", place=place))
    messages = CHATS["several turns"]
    text = theirs.apply_chat_template(plain(messages), add_generation_prompt=True, tokenize=False)
    assert ChatTokenizer.load(tmp_path).text(messages) == text
    assert "<|im_start|>" in text


def test_tools_and_options_reach_the_template(transformers: Any, tmp_path: Path) -> None:
    """Tool calls, HTML and other letters through `tojson`, `continue`, a template's own options."""
    theirs = theirs_at(transformers, write_tokenizer(tmp_path, "qwen3"))
    template = ChatTokenizer.load(tmp_path).template
    tools = [{"type": "function", "function": {"name": "add", "description": "<b> & déjà 'vu'"}}]
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": "<ü>"}}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "What is 1 + 2?"},
        {"role": "assistant", "content": "<think>\nadd\n</think>\n\n", "tool_calls": [call]},
        {"role": "tool", "content": "3"},
        {"role": "skipped", "content": "never seen"},
        {"role": "assistant", "content": "It is 3."},
    ]
    for options in ({}, {"enable_thinking": False}, {"enable_thinking": True}):
        for ask in (True, False):
            expected = theirs.apply_chat_template(
                messages, tools=tools, add_generation_prompt=ask, tokenize=False, **options
            )
            text = template.render(messages, tools=tools, add_generation_prompt=ask, **options)
            assert text == expected
    assert '"b": "<ü>"' in text
    assert "never seen" not in text


def test_the_date_is_todays_as_for_transformers(tmp_path: Path) -> None:
    ours = ChatTokenizer.load(write_tokenizer(tmp_path, "llama3"))
    today = datetime.datetime.now().strftime("%d %b %Y")
    assert f"Today: {today}" in ours.text(CHATS["one question"])


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{% include '/etc/passwd' %}",
        "{{ messages.append(1) }}",
        "{{ raise_exception('never mind') }}",
        "{% for i in range(10000000) %}{% endfor %}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(source: str) -> None:
    with pytest.raises(ModelError, match="the chat template fails on messages of user"):
        ChatTemplate(source).render([{"role": "user", "content": "x"}])


def test_a_broken_template_is_named() -> None:
    with pytest.raises(ModelError, match=r"the chat template is broken: .* line 2"):
        ChatTemplate("a\n{% if %}").render([])


# --- what ends a completion ---


def with_files(directory: Path, **files: dict[str, Any]) -> Path:
    for name, content in files.items():
        (directory / f"{name}.json").write_text(json.dumps(content))
    return directory


def test_several_ids_stop_a_completion(tmp_path: Path) -> None:
    """The template's own end first, then the makers': generation_config.json over config.json."""
    write_tokenizer(tmp_path, "chatml")  # <|endoftext|> 0, <|im_start|> 1, <|im_end|> 2
    assert ChatTokenizer.load(tmp_path).stop_ids == (2,)
    with_files(tmp_path, config={"eos_token_id": 0, "vocab_size": 400})
    assert ChatTokenizer.load(tmp_path).stop_ids == (2, 0)
    with_files(tmp_path, generation_config={"eos_token_id": [1, 2, 0]})
    tokenizer = ChatTokenizer.load(tmp_path)
    assert tokenizer.stop_ids == (2, 1, 0)
    assert tokenizer.stop_texts == ("<|im_end|>", "<|im_start|>", "<|endoftext|>")
    with_files(tmp_path, generation_config={"eos_token_id": 400})
    with pytest.raises(ModelError, match=r"eos_token_id 400 is no token of tokenizer\.json"):
        ChatTokenizer.load(tmp_path)


def test_a_base_models_end_is_not_all_that_ends_a_turn(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, "chatml")
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    with_files(tmp_path, tokenizer_config=settings | {"eos_token": "<|endoftext|>"})
    assert ChatTokenizer.load(tmp_path).stop_ids == (2, 0)


def test_no_stop_token_at_all_is_refused(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, "chatml")
    with_files(tmp_path, tokenizer_config={"chat_template": "{{ messages[0].content }}"})
    with pytest.raises(ModelError, match="no stop token"):
        ChatTokenizer.load(tmp_path)


@pytest.mark.parametrize("style", ["chatml", "qwen3", "llama3", "mistral"])
def test_the_next_turn_follows_what_was_sampled(style: str, tmp_path: Path) -> None:
    """Context, completion and what comes between are the whole conversation's text."""
    tokenizer = ChatTokenizer.load(write_tokenizer(tmp_path, style))
    messages = CHATS["one question"]
    completion = (*tokenizer.encode("It is 21."), tokenizer.stop_ids[0])
    reply = Message(role="user", content="Sure?")
    given = tokenizer.next_turn(messages, reply, stopped=True)
    whole = (*messages, Message(role="assistant", content="It is 21."), reply)
    seen = (*tokenizer.context(messages), *completion, *given)
    ours, expected = tokenizer.decode(seen, keep_special=True), tokenizer.text(whole)
    if style == "mistral":  # which puts a blank before an answer that no prompt ends with
        ours = ours.replace("[/INST]It", "[/INST] It")
    assert ours == expected
    cut = tokenizer.next_turn(messages, reply, stopped=False)
    assert cut == (tokenizer.stop_ids[0], *given)


# --- whether earlier turns stay as they were ---


def tokenizer_of(source: str) -> ChatTokenizer:
    return ChatTokenizer(
        tokenizer=small_tokenizer(["<|end|>"]), template=ChatTemplate(source), stop_ids=(0,)
    )


LOOP = "{% for m in messages %}"
ASK = "{% if add_generation_prompt %}A: {% endif %}"


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (
            LOOP + "{{ 'Q: ' if m.role == 'user' else 'A: ' }}{{ m.content | trim }}<|end|>"
            "{% endfor %}" + ASK,
            "trims",
        ),
        (
            LOOP + "{{ 'Q: ' if m.role == 'user' else 'A: ' }}{{ m.content.split('</think>')[-1] }}"
            "<|end|>{% endfor %}" + ASK,
            "think block",
        ),
        (
            LOOP + "{{ 'Q: ' if m.role == 'user' else 'A: ' }}{{ m.content }}<|end|>{% endfor %}"
            "{% if add_generation_prompt %}A: <think>\n{% endif %}",
            "generation prompt",
        ),
        (
            "{% for m in messages[-1:] %}{{ m.content }}<|end|>{% endfor %}" + ASK,
            "generation prompt",
        ),
        (LOOP + "{% if loop.index > 1 %}{{ raise_exception('one only') }}{% endif %}{{ m.content }}"
         "{% endfor %}", "refuses a second question"),
        (LOOP + "{{ m.content }}.{% endfor %}", "one token"),
    ],
)  # fmt: skip
def test_a_template_that_changes_earlier_turns_is_named(source: str, fault: str) -> None:
    tokenizer = tokenizer_of(source)
    if fault == "one token":
        tokenizer.tokenizer.add_tokens([".."])
    assert any(fault in found for found in prefix_faults(tokenizer)), prefix_faults(tokenizer)
    with pytest.raises(ModelError, match=r"chat_template\.jinja") as refusal:
        check_prefix_preserving(tokenizer, "models/x")
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).startswith("models/x: ")


def test_templates_that_keep_every_turn_pass(tmp_path: Path) -> None:
    assert prefix_faults(ChatTokenizer.load(resolve_model("pico"))) == ()
    found = {
        style: prefix_faults(ChatTokenizer.load(write_tokenizer(tmp_path / style, style)))
        for style in STYLES
    }
    assert found["chatml"] == ()
    assert [len(found[s]) for s in ("llama3", "mistral", "qwen3")] == [1, 1, 1]
    assert "trims" in found["llama3"][0]
    assert "generation prompt" in found["mistral"][0]
    assert "think block" in found["qwen3"][0]


# --- what does not load ---


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "whole", "chatml")
    cases: dict[str, Any] = {
        "no tokenizer.json; a checkpoint": lambda d: (d / "tokenizer.json").unlink(),
        "no tokenizer.json, only tokenizer.model; save it": lambda d: (d / "tokenizer.json").rename(
            d / "tokenizer.model"
        ),
        "tokenizer.json: cannot load the tokenizer": lambda d: (d / "tokenizer.json").write_text(
            "{"
        ),
        "no chat template, as base models have none": lambda d: with_files(
            d, tokenizer_config={"eos_token": "<|im_end|>"}
        ),
        "cannot load the chat template": lambda d: with_files(
            d, tokenizer_config={"chat_template": 5}
        ),
        "tokenizer_config.json: cannot be read": lambda d: (d / "tokenizer_config.json").write_text(
            "["
        ),
        "the stop token '<|gone|>' is not in the vocabulary": lambda d: with_files(
            d, tokenizer_config={"chat_template": "x", "eos_token": "<|gone|>"}
        ),
        "but the embedding has 260 rows": lambda d: with_files(d, config={"vocab_size": 260}),
    }
    for message, change in cases.items():
        directory = tmp_path / "damaged"
        shutil.copytree(tmp_path / "whole", directory)
        change(directory)
        with pytest.raises(ModelError) as refusal:
            ChatTokenizer.load(directory)
        assert message in str(refusal.value)
        assert "\n" not in str(refusal.value)
        shutil.rmtree(directory)


def test_contexts_are_never_cut_or_filled_up(tmp_path: Path) -> None:
    """Though the file says how it was last used."""
    write_tokenizer(tmp_path, "chatml")
    whole = ChatTokenizer.load(tmp_path).context(CHATS["several turns"])
    tokenizer = small_tokenizer(STYLES["chatml"][1])
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=500)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert ChatTokenizer.load(tmp_path).context(CHATS["several turns"]) == whole
