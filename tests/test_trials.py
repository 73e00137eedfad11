"""The shared record of a trial."""

import gc
from collections.abc import Iterator

import pytest

from hpsearch.trials import collection_paused


@pytest.fixture(params=[True, False])
def was_enabled(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Enable or disable the garbage collector for one test, and return which."""
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


def test_the_collector_is_paused_and_comes_back_as_it_was(was_enabled: bool) -> None:  # noqa: FBT001 # a fixture
    """A pause ends with an error too, and never enables a collector that the program disabled."""

    @collection_paused()
    def fail() -> None:
        raise LookupError(gc.isenabled())

    with pytest.raises(LookupError, match="False"):
        fail()
    assert gc.isenabled() == was_enabled
