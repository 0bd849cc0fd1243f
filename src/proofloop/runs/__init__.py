"""Compositions: the only layer that knows all roles."""
