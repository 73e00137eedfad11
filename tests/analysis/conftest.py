"""The synthetic studies of the report's tests."""

from tests.report.conftest import hostile, regression, study

__all__ = ["hostile", "regression", "study"]
