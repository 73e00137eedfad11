"""Progress in notebooks: what a request to stop shows."""

import pytest

from hpsearch.api import notebook_progress
from hpsearch.api.notebook_progress import NotebookProgress, ProgressCard
from hpsearch.storage.records import Progress
from hpsearch.worker.shutdown import StopRequest
from tests.api.test_terminal_progress import STUDY, progress


class Output:
    """The output of a cell: the texts that it showed, in their order."""

    def __init__(self, card: ProgressCard) -> None:
        self.texts = [repr(card)]

    def update(self, card: ProgressCard) -> None:
        """Replace the card."""
        self.texts.append(repr(card))


@pytest.mark.parametrize("seen", [None, progress(complete=1, epochs=1, running=2)])
def test_a_request_to_stop_is_answered_at_once(
    monkeypatch: pytest.MonkeyPatch, seen: Progress | None
) -> None:
    """An interruption is announced while the workers still finish, also before the first progress."""
    monkeypatch.setattr(notebook_progress, "_displayed", Output)
    stop = StopRequest()
    with NotebookProgress(STUDY, stop) as shown:
        if seen is not None:
            shown.show(seen)
        stop.request()
        # The thread that announces it ends by itself afterwards.
        assert shown._thread is not None
        shown._thread.join(10)
        texts = shown._display.texts
        assert texts[0] == "flowers: starting workers"
        assert texts[-1].endswith("finishing; interrupt the kernel again to stop at once")
    assert texts[-1].endswith("stopped; the same call continues from here")
