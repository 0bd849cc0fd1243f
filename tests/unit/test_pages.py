"""The book of pages: what is held is never given away, what is known is what was written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofloop.engine.pages import Pages


def test_sequences_that_begin_alike_share_full_pages_only() -> None:
    pages = Pages(8, 4)
    mine = [pages.take() for _ in range(3)]
    tokens = tuple(range(10))
    pages.written(tokens, mine)
    assert pages.known(tokens) == mine[:2]
    assert pages.known((*tokens[:7], 99)) == mine[:1]
    assert pages.known((99, *tokens[1:])) == []


def test_what_nobody_holds_is_found_until_its_room_is_needed() -> None:
    pages = Pages(2, 4)
    first = pages.take()
    pages.written((1, 2, 3, 4), [first])
    pages.release(first)
    assert pages.num_available == 2
    assert pages.known((1, 2, 3, 4, 5)) == [first]
    pages.release(first)
    assert {pages.take(), pages.take()} == {0, 1}
    assert pages.known((1, 2, 3, 4)) == []
    with pytest.raises(IndexError, match="no page"):
        pages.take()


def test_new_weights_forget_everything_but_who_holds_what() -> None:
    pages = Pages(3, 2)
    held, kept = pages.take(), pages.take()
    pages.written((1, 2), [held])
    pages.written((3, 4), [kept])
    pages.release(kept)
    pages.forget_all()
    assert pages.known((1, 2)) == pages.known((3, 4)) == []
    assert pages.num_available == 2
    pages.release(held)
    assert pages.num_available == 3


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_pages_hold_what_their_holders_wrote(data: st.DataObject) -> None:
    """Against a plain list of what each page holds, through random lives of sequences."""
    pages = Pages(6, 2)
    content: dict[int, tuple[int, ...]] = {}
    """By page: all tokens up to its end, as far as written."""
    alive: list[tuple[tuple[int, ...], list[int]]] = []
    for _ in range(data.draw(st.integers(1, 25))):
        act = data.draw(st.sampled_from(["begin", "end", "forget"]))
        if act == "begin":
            tokens = tuple(data.draw(st.lists(st.integers(0, 1), min_size=1, max_size=7)))
            found = pages.known(tokens)
            for i, page in enumerate(found):
                assert content[page] == tokens[: 2 * (i + 1)]
            needed = pages.needed(len(tokens)) - len(found)
            if needed > pages.num_available:
                for page in found:
                    pages.release(page)
                continue
            own = found + [pages.take() for _ in range(needed)]
            for i, page in enumerate(own[len(found) :], len(found)):
                assert all(page not in others for _, others in alive), "held by somebody"
                content[page] = tokens[: 2 * (i + 1)]
            pages.written(tokens, own)
            alive.append((tokens, own))
        elif act == "end" and alive:
            _, own = alive.pop(data.draw(st.integers(0, len(alive) - 1)))
            for page in own:
                pages.release(page)
        elif act == "forget":
            pages.forget_all()
        held = {page for _, own in alive for page in own}
        assert pages.num_available == 6 - len(held)
