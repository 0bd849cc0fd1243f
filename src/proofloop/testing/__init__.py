"""Fakes that ship with the package: for our tests, for plug-ins' tests, for trying things out."""

from proofloop.testing.fakes import ByteTokenizer, FixedClock, ScriptedEngine, UniformEngine

__all__ = ["ByteTokenizer", "FixedClock", "ScriptedEngine", "UniformEngine"]
