"""The search for settings meets its goal, continues after an interruption, and reports a goal that is out of reach."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3

import pytest

from bayespress.compress.choose import Goal, Point, choose
from bayespress.compress.settings import CompressSettings
from bayespress.errors import InputError
from bayespress.metric import ERROR
from bayespress.packed_format import pareto


class Attempts:
    """A network with a known curve: coarser settings give smaller files and higher errors; the coarsest fail."""

    def __init__(self):
        self.seen = []

    def __call__(self, settings):
        self.seen.append(settings)
        if settings.budget > 2.0:
            raise InputError("No weight is left.")
        coarseness = math.log10(settings.budget / 0.003) + 0.5 * math.log10(max(settings.rate_weight, 0.001) / 0.001)
        return 1.0 + 0.2 * coarseness**2, round(8000 / (1.0 + coarseness))


def search(tmp_path, goal, attempts=None, trials=16, about="net", **settings):
    return choose(
        attempts or Attempts(), CompressSettings(**settings), goal,
        trials=trials, storage=str(tmp_path / "s.db"), about=about,
    )  # fmt: skip


def test_the_smallest_file_within_an_error(tmp_path):
    found = search(tmp_path, Goal(max_error=1.8))
    assert found.chosen.metric <= 1.8
    assert all(point.metric > 1.8 for point in found.points if point.bytes < found.chosen.bytes)
    assert [point.bytes for point in found.points] == sorted(point.bytes for point in found.points)


def test_the_lowest_error_within_a_size(tmp_path):
    found = search(tmp_path, Goal(max_bytes=3000))
    assert found.chosen.bytes <= 3000
    assert all(p.bytes > 3000 for p in found.points if p.metric < found.chosen.metric)


def test_without_a_limit_the_knee_is_chosen(tmp_path):
    found = search(tmp_path, Goal())
    front = pareto(found.points)
    assert found.chosen in front
    assert front[0].bytes < found.chosen.bytes < front[-1].bytes
    assert front[-1].metric < found.chosen.metric < front[0].metric


def test_a_search_continues_where_it_stopped(tmp_path):
    first = Attempts()
    search(tmp_path, Goal(max_error=1.8), first, trials=6)
    second = Attempts()
    found = search(tmp_path, Goal(max_error=1.8), second, trials=8)
    assert (len(first.seen), len(second.seen)) == (6, 2)
    assert not {(s.budget, s.rate_weight) for s in first.seen} & {(s.budget, s.rate_weight) for s in second.seen}
    assert len(found.points) + sum(s.budget > 2.0 for s in first.seen + second.seen) == 8
    third = Attempts()
    assert search(tmp_path, Goal(max_error=1.8), third, trials=8) == found
    assert third.seen == []


@pytest.mark.parametrize("change", [{"about": "other"}, {"retrain": 3}, {"quantizer": "codebook"}])
def test_another_network_or_other_fixed_settings_start_another_search(tmp_path, change):
    search(tmp_path, Goal(max_error=5.0), trials=2)
    attempts = Attempts()
    search(tmp_path, Goal(max_error=50.0), attempts, trials=2, **change)
    assert len(attempts.seen) == 2


def test_fixed_settings_stay_and_searched_settings_are_within_their_spans(tmp_path):
    attempts = Attempts()
    search(tmp_path, Goal(max_error=50.0), attempts, trials=10, quantizer="codebook", rate_weight=0.25, distill=0.5)
    assert {(s.rate_weight, s.distill, s.quantizer) for s in attempts.seen} == {(0.25, 0.5, "codebook")}
    assert all(4 <= s.clusters <= 64 and isinstance(s.clusters, int) for s in attempts.seen)
    assert len({s.clusters for s in attempts.seen}) > 3


def test_a_goal_out_of_reach_names_the_closest_point(tmp_path):
    with pytest.raises(
        InputError,
        match=r"None of \d+ settings tried gives the smallest file with an error of at most "
        r"0\.5 %; the closest is 1\.\d\d % at [\d,]+ bytes \(threshold",
    ):
        search(tmp_path, Goal(max_error=0.5), trials=8)
    with pytest.raises(InputError, match=r"lowest error within 10 bytes; the closest is .* relax the goal to that"):
        search(tmp_path, Goal(max_bytes=10), trials=8)


def test_reports_the_reason_when_no_settings_leave_a_network(tmp_path):
    def failing(settings):
        raise InputError("The posterior has no tensor fc.weight.")

    with pytest.raises(InputError, match=r"None of 3 settings left a network to measure. The posterior has no tensor"):
        search(tmp_path, Goal(max_error=1.0), failing, trials=3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Goal(max_error=1.0, max_bytes=10), "max_error 1 and max_bytes 10 were asked for; a search"),
        (lambda: Goal(max_error=100.0).check(ERROR), "highest error is 100.0 %"),
        (lambda: Goal(max_loss=-1.0), "largest loss is -1.0"),
        (lambda: Goal(max_bytes=0), "largest file is 0 bytes"),
    ],
)  # fmt: skip
def test_rejects_invalid_goals(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_rejects_invalid_searches(tmp_path):
    with pytest.raises(InputError, match="0 trials"):
        search(tmp_path, Goal(), trials=0)
    with pytest.raises(InputError, match="rule magnitude and the quantizer round-off have no settings to search"):
        search(tmp_path, Goal(), rule="magnitude", quantizer="round-off")
    with pytest.raises(InputError, match=r"Storage .*s\.db cannot be created"):
        search(tmp_path / "nowhere", Goal())


def test_a_trial_whose_error_is_nan_fails_and_the_search_continues(tmp_path):
    known, logged = Attempts(), []

    def attempt(settings):
        error, size = known(settings)
        return (math.nan if len(known.seen) == 5 else error), size

    found = choose(
        attempt, CompressSettings(), Goal(max_error=2.0), trials=7, storage=str(tmp_path / "s.db"), about="net",
        progress=logged.append,
    )  # fmt: skip
    assert found.chosen.metric <= 2.0
    assert [text for text in logged if "trial 5 of 7: The error of these settings is nan" in text]


@pytest.mark.parametrize(
    "change",
    [
        ("settings", {"granularity": 3}), ("settings", {"rule": "of-another-version"}), ("settings", 7),
        ("error", "low"), ("error", None), ("bytes", []), ("place", "fine"),
    ],
)  # fmt: skip
def test_rejects_trials_of_another_version(tmp_path, change):
    goal = Goal(max_error=50.0)
    search(tmp_path, goal, trials=1)
    key, value = change
    with contextlib.closing(sqlite3.connect(tmp_path / "s.db")) as database, database:
        changed = database.execute(
            "UPDATE trial_user_attributes SET value_json = ? WHERE key = ?", (json.dumps(value), key)
        )
        assert changed.rowcount == 1
    with pytest.raises(InputError, match=r"^Trial 0 in .*s\.db .*; name another storage\.$"):
        search(tmp_path, goal, trials=3)


def test_a_largest_loss_is_relative_to_the_network_before_compression():
    assert Goal(max_loss=0.25).over(1.5) == Goal(max_error=1.75)
    assert Goal(max_bytes=7).over(1.5) == Goal(max_bytes=7)


def test_the_pareto_front_holds_the_points_that_no_other_dominates():
    settings = CompressSettings()
    points = [Point(settings, error, size) for error, size in ((2.0, 10), (1.0, 20), (1.5, 20), (1.0, 30), (0.5, 40))]
    assert [(p.metric, p.bytes) for p in pareto(points)] == [(2.0, 10), (1.0, 20), (0.5, 40)]
