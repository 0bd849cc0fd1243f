"""Sampling and gradients on a CPU by kernels in C, compiled on the machine where they run.

`decode.c` samples, `train.c` differentiates.  Not needed for anything: where there is no compiler,
PyTorch does the same, slower.
"""
