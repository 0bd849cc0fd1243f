"""The tree of processes below one of ours, found through /proc.

Where no pid namespace ends what a program left running (T0, several processes), the fork-server
is a subreaper, so every orphan below it, however often it forked or changed its session, stays
below it.
"""

from pathlib import Path


def descendants(root: int) -> list[int]:
    """Every process below `root`, zombies included."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found
