"""`msda-table run` as a person types it, with real trainers of a second."""

import json
import sys

import pytest

from msda_train.cli.commands import run_command, running
from msda_train.cli.commands.run_command import main
from msda_train.core.errors import UserError
from msda_train.launch import child


@pytest.fixture
def go(published, small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = main(["tiny/table1", "--published", "published", *small, *words])
        return code, *capsys.readouterr()

    return run


def test_it_runs_what_is_missing_and_then_nothing(go, tmp_path):
    code, out, err = go("--jobs", "2")
    assert (code, out) == (0, "tiny/table1: 2 of 2 runs done\n")
    assert "msda-table: 2 configurations x 1 seeds = 2 runs: 0 done, 2 missing\n" in err
    assert "not the published configuration" in err
    rows = [json.loads(path.read_text()) for path in (tmp_path / "runs").rglob("row.json")]
    assert sorted(row["names"]["method"] for row in rows) == ["erm", "mixup"]
    assert {row["names"]["experiment"] for row in rows} == {"manifold_cifar10_preactresnet18"}
    logs = sorted((tmp_path / "runs" / "logs").iterdir())
    assert all("complete:" in log.read_text() for log in logs)
    before = [log.stat().st_mtime_ns for log in logs]
    code, out, err = go("--jobs", "2")
    assert (code, out) == (0, "tiny/table1: 2 of 2 runs done\n")
    assert "2 done, 0 missing" in err
    assert [log.stat().st_mtime_ns for log in logs] == before


def test_runs_of_one_network_share_a_process(go, tmp_path):
    code, out, _ = go("--seeds", "0-1")
    assert (code, out) == (0, "tiny/table1: 4 of 4 runs done\n")
    rows = [json.loads(path.read_text()) for path in (tmp_path / "runs").rglob("row.json")]
    assert sorted(row["memory"]["earlier_runs"] for row in rows) == [0, 1, 2, 3]
    logs = [log.read_text() for log in (tmp_path / "runs" / "logs").iterdir()]
    assert [log.count("complete:") for log in logs] == [1] * 4


def test_failures_are_reported(go, tmp_path, monkeypatch):
    code = "import sys; sys.exit('msda-train: recipe.lr=-1: must be greater than 0')"
    script = [sys.executable, "-S", "-c", code]
    monkeypatch.setattr(child, "module_command", lambda module, words: script)
    code, out, _ = go("--jobs", "2")
    assert code == 1
    assert out.count("\n  failed: msda-train: recipe.lr=-1: must be greater than 0") == 2
    assert out.startswith("msda-train experiment=manifold_cifar10_preactresnet18 method=")
    assert out.endswith("0 of 2 runs done, 2 failed (logs in runs/logs; try them again with --retry)\n")
    assert len(list((tmp_path / "runs" / "failed").rglob("failure.json"))) == 2
    monkeypatch.setattr(child, "module_command", lambda module, words: ["/bin/false"])
    code, again, err = go()
    assert code == 1
    assert again.count("failed: msda-train: recipe.lr=-1") == 2  # nobody tried
    assert "2 missing (2 of them failed before: --retry)" in err


def test_bad_words_cost_one_line_and_nothing_is_made(go, tmp_path, monkeypatch):
    for words, message in [
        (["--seeds", "x"], "cannot be read"),
        (["recipe.epohcs=2"], "did you mean"),
        (["--typo"], "unrecognized"),
    ]:
        with pytest.raises(UserError, match=message):
            go(*words)
    answer = [{"error": "device=cuda:7: there are 0 CUDA devices, counted from 0"}]
    monkeypatch.setattr(run_command, "ask_speed", lambda groups, measure: answer)
    with pytest.raises(UserError, match="device=cuda:7: there are 0"):
        go("--devices", "cuda:7")
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_cannot_be_written(go, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file") as error:
        go("--runs", "file")
    assert "\n" not in str(error.value)


def test_an_interrupt_says_how_to_go_on(go, monkeypatch):
    script = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(child, "module_command", lambda module, words: script)

    def interrupt(total, bar):
        def watch(executor):
            raise KeyboardInterrupt

        return watch

    monkeypatch.setattr(running, "progress", interrupt)
    code, _, err = go()
    assert code == 130
    assert err.splitlines()[-1] == "msda-table: stopped with 0 of 2 runs done; the same command goes on"
