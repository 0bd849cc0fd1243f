"""Sampling on a CPU by a kernel in C (`decode.c`), compiled on the machine where it runs.

Not needed for anything: where there is no compiler, `engine.torch_batch` does the same, slower.
"""
