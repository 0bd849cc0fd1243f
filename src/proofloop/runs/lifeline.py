"""Processes of ours that must not outlive the one that started them."""

import os
from multiprocessing import parent_process


def die_with_parent() -> None:
    """For a thread: ends the process when its parent does, amid whatever it is doing.

    Nobody is left to hand anything to, and whoever resumes wants the cores.  A sandbox's processes
    watch their owner in the same way."""
    parent = parent_process()
    assert parent is not None, "a process of multiprocessing"
    parent.join()
    os._exit(1)
