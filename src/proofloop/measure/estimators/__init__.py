"""Pure functions from counts to figures with intervals; each states its formula and source.

Not here: anything that knows a store, a run or a plot.  The invariant: the unit of resampling is
the **task**, then the run, then the training seed; attempts at one task are never treated as
independent tasks.

Axes: T tasks, N samples of a task, K values of k, B bootstrap resamples, S training seeds.
"""
