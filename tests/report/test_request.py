"""The options of a report."""

from dataclasses import replace

import pytest

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.errors import HpsearchError, TrialNotFoundError, UsageError
from hpsearch.report.request import ReportRequest, check_request, parse_trials
from hpsearch.study.spec import TargetScale


def test_trials_are_read_in_their_order() -> None:
    """Numbers come back in order, each once."""
    assert parse_trials("3, 17,42,3") == (3, 17, 42)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3,x", '--trials: must be numbers of trials (got "3,x"): write 3,17,42'),
        ("3,-1", '--trials: must be numbers of trials (got "3,-1"): write 3,17,42'),
        ("3,²", '--trials: must be numbers of trials (got "3,²"): write 3,17,42'),
        ("", '--trials: must be numbers of trials (got ""): write 3,17,42'),
        ("3,3", "--trials: must be 2 to 6 different trials (got 1): write 3,17,42"),
        ("1," + "9" * 19, f'--trials: must be numbers of trials (got "1,{"9" * 19}"): write 3,17,42'),
        ("0,1,2,3,4,5,6", "--trials: must be 2 to 6 different trials (got 7): write 3,17,42"),
    ],
)
def test_trials_that_cannot_be_compared_are_refused(text: str, message: str) -> None:
    """Anything but a list of two to six numbers is wrong usage, with the value and the remedy."""
    with pytest.raises(UsageError) as caught:
        parse_trials(text)
    assert str(caught.value) == message


def test_a_request_must_fit_the_study(study: Snapshot, regression: Snapshot) -> None:
    """Unknown trials, the study itself and a study of another metric are refused."""
    with pytest.raises(TrialNotFoundError, match=r'study "digits": has no trial 999 \(got 3,999\)'):
        check_request(study, ReportRequest(trials=(3, 999)))
    with pytest.raises(UsageError, match=r'--compare: must be another study \(got "digits" itself\)'):
        check_request(study, ReportRequest(others=(study,)))
    other = replace(regression, study=replace(regression.study, key="k2"))
    with pytest.raises(
        HpsearchError, match=r"--compare diabetes: must have the metric .*\(got validation loss\)"
    ):
        check_request(study, ReportRequest(others=(other,)))
    spec = replace(other.study.spec, data=replace(other.study.spec.data, task="regression"))
    scale: TargetScale = "standard" if spec.data.target_scale == "none" else "none"
    own = replace(regression, study=replace(regression.study, spec=spec))
    scaled = replace(other.study, spec=replace(spec, data=replace(spec.data, target_scale=scale)))
    with pytest.raises(HpsearchError, match=r"must have losses in the unit of .* rank by rmse"):
        check_request(own, ReportRequest(others=(replace(other, study=scaled),)))
    check_request(
        study, ReportRequest(trials=(3, 17), others=(replace(study, study=replace(study.study, key="k2")),))
    )
