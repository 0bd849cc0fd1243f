"""What the training did: estimators with intervals, the report, the token-by-token view.

Reads `core` records and a run's store; knows no environment, trainer or engine.  Imports numpy
only; matplotlib is loaded when a figure is drawn.
"""
