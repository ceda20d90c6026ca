"""The seam for a method that changes in the course of training, as CutMix does whose probability grows.

For each batch the step asks what the method is by now (`Step.at`). `done` is the share of the run's steps
that lies behind, t / T before step t of T, both counted over all epochs, and t from 0: 0 for the first batch,
1 - 1 / T for the last. The answer is a function of `done` alone, so checkpoints hold nothing of it, a resumed
run is bit for bit an uninterrupted one, and the processes of a run agree. What is recorded as a CUDA graph or
compiled begins behind the plan, and knows nothing of it.
"""

from typing import Protocol, runtime_checkable

from msda_train.core.mix import Method

HALF_WAY = 0.5  # where one that changes is looked at, if one look has to do


@runtime_checkable
class Changes(Protocol):
    """A method that may change in the course of training."""

    def changes(self) -> bool:
        """Whether it does, by its options. Then `plan` of itself raises UserError: it cannot know when."""
        ...

    def in_course(self, done: float) -> Method:
        """What it is where the share `done` (0 to 1) of the run is behind; itself where it never changes."""
        ...


def in_course(method: Method, done: float) -> Method:
    """`method` where the share `done` of the run lies behind: any method, for most never change."""
    return method.in_course(done) if isinstance(method, Changes) else method


def does_change(method: object) -> bool:
    """Whether `method` is one that does."""
    return isinstance(method, Changes) and method.changes()
