"""Final answers to mathematical problems.  Start with `verdicts.verify_answer`.

    completion --extract--> text --tokens, parser--> tree --compare--> verdict

`compare` asks `ring` (exact, in the trusted process) and, where that leaves it open, the worker,
which adds `numeric` (intervals) and `symbolic` (SymPy).
"""
