"""The addresses of pages: ours, and those of Optuna's dashboard."""

import re
from typing import Final
from urllib.parse import quote

HOME = "/dashboard"
STUDIES = "/studies/"
COMPARE = "/compare"
WORKERS = "/workers"
PLOTLY = "/assets/plotly.js"

_STEPS: Final = re.compile(r"\.\.?/*")


def study_link(name: str) -> str:
    """Return the path of a study's page."""
    return f"/studies/{_part(name)}"


def trial_link(name: str, number: int) -> str:
    """Return the path of a trial's page."""
    return f"{trials_link(name)}{number}"


def trials_link(name: str) -> str:
    """Return the prefix of the paths of all pages of a study's trials; the trial's number follows."""
    return f"/trials/{_part(name)}/"


def operations_link(name: str) -> str:
    """Return the path to which the forms that operate a study are sent."""
    return f"/operations/{_part(name)}"


def confirmation_link(name: str) -> str:
    """Return the path of the progress of a study's confirmation."""
    return f"/confirmations/{_part(name)}"


def replay_link(name: str, number: int) -> str:
    """Return the path of a trial's replay."""
    return f"{trial_link(name, number)}/replay"


def stock_study_link(study_id: int) -> str:
    """Return the path of a study's page in Optuna's dashboard."""
    return f"/dashboard/studies/{study_id}"


def stock_trial_link(study_id: int, number: int) -> str:
    """Return the path of a trial's page in Optuna's dashboard."""
    return f"/dashboard/studies/{study_id}/trials?numbers={number}"


def _part(name: str) -> str:
    """Return a name as one part of a path.

    Browsers interpret `.` and `..` as steps, even if they are quoted, so such names get a final slash, also quoted.
    """
    return quote(name + "/" if _STEPS.fullmatch(name) else name, safe="")


def name_of(part: str) -> str:
    """Return the name from a part of a path of `study_link`; servers pass it unquoted."""
    return part.removesuffix("/") if _STEPS.fullmatch(part) else part
