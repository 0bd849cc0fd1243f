"""Pages of the cache of keys and values: who holds which, and which are already written.

A page holds a fixed number of positions in all layers.  Sequences that begin alike share the pages
of what they have in common: a full page is known by all tokens up to its end.  A page that nobody
holds keeps its content until it is needed for something else, so that the next turn of a
conversation finds its history.

Invariant: every page is free, kept (written, held by nobody) or held by at least one; a page that
is known by its tokens is never written again while it is known.
"""

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Sequence


class Pages:
    """The book of pages 0 to num_pages - 1, of `size` positions each."""

    def __init__(self, num_pages: int, size: int) -> None:
        self.size = size
        self._free = list(range(num_pages - 1, -1, -1))
        self._kept: OrderedDict[int, None] = OrderedDict()
        """Known, held by nobody, longest untouched first."""
        self._holders = [0] * num_pages
        self._page_of: dict[bytes, int] = {}
        self._key_of: dict[int, bytes] = {}

    @property
    def num_pages(self) -> int:
        return len(self._holders)

    @property
    def num_available(self) -> int:
        """Pages that nobody holds."""
        return len(self._free) + len(self._kept)

    def needed(self, num_positions: int) -> int:
        return -(-num_positions // self.size)

    def take(self) -> int:
        """An unwritten page for one holder.  Raises IndexError where all are held."""
        if self._free:
            page = self._free.pop()
        elif self._kept:
            page, _ = self._kept.popitem(last=False)
            self._forget(page)
        else:
            raise IndexError("no page is available")
        self._holders[page] = 1
        return page

    def hold(self, page: int) -> None:
        """One holder more."""
        self._holders[page] += 1
        self._kept.pop(page, None)

    def release(self, page: int) -> None:
        """One holder less."""
        assert self._holders[page] > 0, "released once too often"
        self._holders[page] -= 1
        if self._holders[page] == 0:
            if page in self._key_of:
                self._kept[page] = None
            else:
                self._free.append(page)

    def written(self, tokens: Sequence[int], pages: Sequence[int]) -> None:
        """These pages hold these tokens from a sequence's beginning on; full pages become known."""
        for key, page in zip(self._keys(tokens), pages, strict=False):
            if key not in self._page_of and page not in self._key_of:
                self._page_of[key] = page
                self._key_of[page] = key

    def known(self, tokens: Sequence[int]) -> list[int]:
        """Full pages that already hold the beginning of `tokens`, each now held once more."""
        found: list[int] = []
        for key in self._keys(tokens):
            page = self._page_of.get(key)
            if page is None:
                break
            self.hold(page)
            found.append(page)
        return found

    def forget_all(self) -> None:
        """Nothing that was written is worth anything: the weights are others."""
        for page in list(self._key_of):
            self._forget(page)
        self._free += self._kept
        self._kept.clear()

    def _forget(self, page: int) -> None:
        del self._page_of[self._key_of.pop(page)]

    def _keys(self, tokens: Sequence[int]) -> list[bytes]:
        """One a full page: of all tokens up to its end.  A digest that nobody can make collide:
        whose prompt it is does not matter then."""
        keys: list[bytes] = []
        key = b""
        for end in range(self.size, len(tokens) + 1, self.size):
            own = array("q", tokens[end - self.size : end]).tobytes()
            key = hashlib.blake2b(key + own, digest_size=16).digest()
            keys.append(key)
        return keys
