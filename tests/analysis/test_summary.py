"""What the trials of a study say together, for programs."""

import json

from hpsearch.analysis.json_objects import json_text
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.summary import summary_object
from tests.report.synthetic import empty, only_deaths


def test_a_summary_is_strict_json(study: Snapshot, regression: Snapshot, hostile: Snapshot) -> None:
    """Whatever the trials are, the summary has the same fields, and JSON holds them."""
    for snapshot in (study, regression, hostile, empty(), only_deaths()):
        shown = summary_object(snapshot.study, snapshot.trials)
        assert set(shown) == {"fates_by_decade", "advice", "audit", "configurations"}
        assert json.loads(json_text(shown)) == shown


def test_a_whole_study_is_summed_up(study: Snapshot) -> None:
    """A study with too slow trials at its lower end is told to begin higher, or to end lower where more died there."""
    shown = summary_object(study.study, study.trials)
    assert shown["advice"].startswith("no trial with a learning rate ")
    assert [row["low"] for row in shown["fates_by_decade"]] == sorted(
        row["low"] for row in shown["fates_by_decade"]
    )


def test_an_empty_study_says_nothing() -> None:
    """Before the first trial there are no decades and no advice."""
    snapshot = empty()
    shown = summary_object(snapshot.study, snapshot.trials)
    assert (shown["fates_by_decade"], shown["advice"], shown["audit"]["audited"]) == ([], None, 0)
