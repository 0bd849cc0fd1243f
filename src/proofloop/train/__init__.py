"""Training: pure steps from groups to a loss, and the one place that touches an optimiser."""
