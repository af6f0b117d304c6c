"""A kept run that does not fail any more is no proof: the answer is searched anew, and the command
that writes the kept runs anew is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labkit.lessons.l1_1c import late_payment as judged
from tests.lessons import kept_runs
from tests.lessons.answers_1_1c import confirm_nothing
from tests.support.depth import QUICK
from tests.support.keeping import path_of

pytestmark = pytest.mark.usefixtures("kept")
EXERCISE = "1.1c-1"


def copy_of_kept_runs(to: Path, **changes: object) -> Path:
    """The kept runs of the exercise's lesson, with changes to the one of `confirm_nothing`."""
    told = json.loads(path_of(EXERCISE).read_text(encoding="utf-8"))
    run = told[EXERCISE][confirm_nothing.__name__]
    run.update(changes)
    to.write_text(json.dumps(told), encoding="utf-8")
    return to


def test_a_stale_kept_run_is_searched_for_and_the_refresh_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over_before_she_pays = {"ends": 0.5, "released": False, "unswept": 0.0, "devices": 1}
    stale = copy_of_kept_runs(
        tmp_path / "stale.json", seed=7, args={**over_before_she_pays, "again": False}
    )
    monkeypatch.setattr(kept_runs, "DEPTH", QUICK)
    monkeypatch.setattr(judged, "CASES", ())  # so that only a search finds it
    monkeypatch.setattr(kept_runs, "path_of", lambda exercise: stale)
    command = r"`make deep ONLY=1_1c ARGS=--keep` writes failing_runs/1_1c.json anew"
    says = f"the kept run of {EXERCISE} confirm_nothing does not fail any more.*{command}"
    with pytest.warns(UserWarning, match=says):
        result = kept_runs.checked.__wrapped__(EXERCISE, confirm_nothing)
    assert result.status == "failed" and result.run is not None
    assert result.run.scenario == judged.late_payment.__name__
    assert result.run.args["ends"] > judged.PAYS


def test_a_kept_run_that_still_fails_is_the_one_that_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    another_seed = copy_of_kept_runs(tmp_path / "fresh.json", seed=7)
    monkeypatch.setattr(kept_runs, "DEPTH", QUICK)
    monkeypatch.setattr(judged, "CASES", ())  # so that only a search finds it
    monkeypatch.setattr(kept_runs, "path_of", lambda exercise: another_seed)
    result = kept_runs.checked.__wrapped__(EXERCISE, confirm_nothing)
    assert result.status == "failed" and result.run is not None and result.run.seed == 7
    assert not [warning for warning in recwarn if "does not fail" in str(warning.message)]
