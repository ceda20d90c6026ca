"""Puzzle Mix: the method, its energy, its solvers and its transport."""

from msda_train.methods.puzzlemix.method import PuzzleMix

__all__ = ["PuzzleMix"]
