"""Studies compared."""

from dataclasses import replace

import pytest

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.studies import differences, studies_compared
from hpsearch.study.spec import Range
from tests.report.synthetic import SPEC, empty, synthetic


@pytest.fixture
def other() -> Snapshot:
    """Return a study like `study` with fewer epochs, another seed and another range."""
    low = Range(name="learning_rate", low=1e-4, high=1.0, log=True)
    spec = replace(
        SPEC,
        name="other",
        seed=1,
        search=(low, SPEC.search[1]),
        training=replace(SPEC.training, epochs=10),
    )
    return synthetic(60, seed=9, spec=spec)


def test_each_study_has_its_records_against_its_epochs(study: Snapshot, other: Snapshot) -> None:
    """The best so far rises, each at the epochs that had been begun by then, to the study's best."""
    data = studies_compared(study, [other])
    assert [line.name for line in data.lines] == ["digits", "other"]
    for line, snapshot in zip(data.lines, (study, other), strict=True):
        values = [record.value for record in line.records]
        assert values == sorted(set(values))
        best = snapshot.progress.best
        assert best is not None
        assert values[-1] == best.value
        ended = sum(trial.epochs for trial in snapshot.trials if trial.state.is_final)
        assert line.records[-1].epochs <= line.epochs == ended
        assert all(data.scale.low <= record.position <= data.scale.high for record in line.records)
    assert data.epochs == max(line.epochs for line in data.lines)


def test_keys_that_differ_are_listed(study: Snapshot, other: Snapshot) -> None:
    """Every key in which the studies differ is there with both values, and no other; names always differ."""
    rows = {row.key: row.cells for row in differences([study, other])}
    assert set(rows) == {"trials", "seed", "training.epochs", "search.learning_rate"}
    assert rows["seed"] == ("20170523", "1")
    assert rows["search.learning_rate"][1] == "{ low = 0.0001, high = 1.0, log = true }"
    assert differences([study, study]) == ()


def test_different_data_are_stated(study: Snapshot, other: Snapshot) -> None:
    """Studies of different data are drawn, and described as not comparable."""
    foreign = replace(other, study=replace(other.study, fingerprint="sha256:0"))
    assert "Not comparable, because their data differ: other." in studies_compared(study, [foreign]).caption
    assert "Not comparable" not in studies_compared(study, [other]).caption
    assert "fingerprint of the data" in {row.key for row in differences([study, foreign])}


def test_a_study_without_a_result_is_named(study: Snapshot) -> None:
    """A study without a complete trial has no line, and the caption states that."""
    nobody = empty(replace(SPEC, name="nobody"))
    data = studies_compared(study, [nobody])
    assert [line.name for line in data.lines] == ["digits"]
    assert "nobody: no trial is complete with a finite result yet." in data.caption
