"""A builder of studies for the tests of the search."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from hpsearch.study.spec import DataSpec, PruningSpec, RankName, SamplerName, SamplerSpec, StudySpec

_PACKAGES = {"cmaes": "cmaes", "gp": "torch"}


@pytest.fixture(scope="session")
def spec_of() -> Callable[..., StudySpec]:
    """Return a builder of studies that search learning rate and weight decay by default.

    It skips the test if the sampler needs a package that is not installed; if HPSEARCH_REQUIRE_TORCH is 1, the test
    fails instead.
    """

    def build(sampler: SamplerName = "tpe", rank: RankName = "none", /, **changes: Any) -> StudySpec:
        if sampler in _PACKAGES and os.environ.get("HPSEARCH_REQUIRE_TORCH") != "1":
            package = _PACKAGES[sampler]
            pytest.importorskip(package, reason=f"the sampler {sampler} needs the optional package {package}")
        known: dict[str, Any] = {
            "name": "toy",
            "data": DataSpec(source="digits"),
            "metric": "validation_accuracy",
            "sampler": SamplerSpec(name=sampler),
            "pruning": PruningSpec(rank=rank),
        }
        return StudySpec(**(known | changes))

    return build
