"""Asking `training.speed`, another process, how fast this machine trains; nobody waits without a word or for
ever."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from math import inf
from threading import Timer
from typing import IO, Any

from tqdm import tqdm

from msda_train.core.programs import child_environment, module_command

MOST_SECONDS = 90.0  # for one answer; a busy machine may need half of them to import torch
_LABEL = 72  # characters
Answer = dict[str, Any]


def ask_speed(groups: Sequence[Sequence[str]], measure: bool, most: float = inf) -> list[Answer]:
    """What `training.speed` says to each group of words; a group it does not answer has `{"error": ...}`. One
    that was not measured within MOST_SECONDS has a rough answer, `{"rough": true, ...}`, if there is one.
    When measuring, no group begins after `most` seconds.

    When measuring, a bar on a terminal, and one line per group on stderr.
    """
    answers: list[Answer] = []
    began = time.monotonic()
    disable = None if measure else True
    with tqdm(total=len(groups), desc="measuring", unit="network", disable=disable, leave=False) as bar:
        while len(answers) < len(groups):
            for answer in _ask_one_child(groups[len(answers) :], measure):
                if measure:
                    label = " ".join(groups[len(answers)])[:_LABEL]
                    tqdm.write(f"msda-table: {label}: {_told(answer)}", file=sys.stderr)
                answers.append(answer)
                bar.update()
                if measure and time.monotonic() - began > most:
                    late = {"error": f"not measured: the {most:.0f} s for measuring were over"}
                    return answers + [late] * (len(groups) - len(answers))
    return answers


def _told(answer: Answer) -> str:
    if "error" in answer:
        return str(answer["error"])
    return f"{'roughly ' if answer.get('rough') else ''}{answer['step_seconds']:.3g} s a step"


def _ask_one_child(groups: Sequence[Sequence[str]], measure: bool) -> Iterator[Answer]:
    """Its answers as they come: to all groups, or until one has taken too long."""
    words = [] if measure else ["--facts"]
    for number, group in enumerate(groups):
        words += [*(["--"] if number else []), *group]
    command, began, given = module_command("training.speed", words), time.monotonic(), 0
    with tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=child_environment()
        )
        assert child.stdout is not None
        try:
            while given < len(groups):
                answer, late = _next(child, child.stdout)
                if answer is None and late:
                    answer = {"error": f"not measured within {MOST_SECONDS:g} s"}
                elif answer is None:
                    break
                if not measure:  # what any trainer does before its first step, too
                    answer["start_seconds"] = time.monotonic() - began
                yield answer
                if late:
                    return
                given += 1
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
        errors.seek(0)
        lines = errors.read().strip().splitlines() or [f"exit code {child.returncode}"]
    yield from [{"error": f"the probe ended early: {lines[-1]}"}] * (len(groups) - given)


def _next(child: "subprocess.Popen[str]", lines: IO[str]) -> tuple[Answer | None, bool]:
    """The next answer, or the rough one before it; None where it ended. And whether it was too late, and the
    child is no more."""
    late, rough = False, None

    def stop() -> None:
        nonlocal late
        late = True
        child.kill()

    timer = Timer(MOST_SECONDS, stop)
    timer.start()
    try:
        for line in lines:
            if not line.startswith("{"):  # somebody's own model prints
                continue
            answer = json.loads(line)
            if not answer.get("rough"):
                return answer, False
            rough = answer
    finally:
        timer.cancel()
    return rough, late
