"""What a finished run leaves: its row, and the line that says so."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msda_train.config.fingerprint import fingerprint, former_fingerprint
from msda_train.core.errors import UserError
from msda_train.records.rows import Row, read_row
from msda_train.records.summary import CLASSIFICATION, summarise
from msda_train.training.memory import peak_memory
from msda_train.training.run import Progress, Run


def row_of(
    run: Run, progress: Progress, names: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, Any]:
    """The finished run as one JSON-ready value; see `records.rows` for its schema."""
    history = progress.history
    return {
        "schema": 1,
        **({} if run.task == CLASSIFICATION else {"task": run.task}),
        "fingerprint": run.fingerprint,
        "names": dict(names),
        "seed": run.seed,
        "config": config,
        "metrics": summarise(history, run.task),
        "history": history,
        "seconds": sum(h["seconds"] for h in history),
        **run.facts(progress, config["dataset"].get("source")),
        # Of a process that has made other runs before, some of whose memory it may still hold.
        "memory": {**peak_memory(run.compute.device), "earlier_runs": run.cache.runs},
        "environment": {k: v for k, v in progress.sessions[-1].items() if not k.endswith("_epoch")},
        "sessions": progress.sessions,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def run_folder(runs: Path, config: Mapping[str, Any], content: str, seed: int) -> Path:
    """Where the run of `config` on images of this content lives: <runs>/<fingerprint>-<content>/s<seed>. One
    that was finished under its former fingerprint stays where it is."""
    identity, former = fingerprint(config), former_fingerprint(config)
    folder, old = (runs / f"{name}-{content[:8]}" / f"s{seed}" for name in (identity, former))
    if not folder.exists() and (old / "row.json").is_file():
        with suppress(UserError):  # damaged: nobody knows whose it was
            if read_row(old / "row.json").fingerprint == identity:
                return old
    return folder


def expected_row(path: Path, identity: str, content: str, seed: int, teacher: str | None = None) -> Row:
    """The row at `path`. UserError where it is not that of the run of this fingerprint, images and seed, or
    was taught by another run than `teacher`."""
    row = read_row(path)
    if row.teacher and row.teacher != teacher:
        raise UserError(
            f"{path}: was taught by another run ({row.teacher}) than lies there now ({teacher}); "
            "move the row away, or type runs=FOLDER"
        )
    if (row.fingerprint, row.data["content"], row.seed) != (identity, content, seed):
        raise UserError(
            f"{path}: is the row of another run ({row.names['method']} seed {row.seed}, {row.fingerprint}) "
            f"than of this one ({identity} seed {seed}); move it away, or type runs=FOLDER"
        )
    return row


def complete(row: Row) -> str:
    """A line about a run that has its row."""
    m, recipe = row.metrics, row.config["recipe"]
    begun = f"complete: {row.names['method']} seed {row.seed}, "
    if row.task != CLASSIFICATION:
        modes, good = row.data["modes"], f"{100 * m['good/last']:.2f} % good samples"
        found = f"{round(m['modes/last'] * modes)} of {modes} modes found"
        return f"{begun}{recipe['iterations']} iterations, {found}, {good}"
    part = "held-out" if row.held_out else "test"
    early = f" (of {recipe['epochs']}: recipe.patience={recipe['patience']})" if row.stopped_after else ""
    return (
        f"{begun}{row.epochs} epochs{early}, {part} error "
        f"{100 * m['error/last']:.2f} % last, {100 * m['error/best']:.2f} % best, nll {m['nll/last']:.3f}"
    )
