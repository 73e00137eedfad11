"""How a use case reports its progress to its caller."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from hpsearch.storage.records import Progress, StoredStudy
from hpsearch.worker.shutdown import StopRequest, do_nothing

Notify: TypeAlias = Callable[[str], None]
Show: TypeAlias = Callable[[Progress], None]


def _silent_stage(_: str) -> AbstractContextManager[None]:
    return nullcontext()


@contextmanager
def _silent_watch(*_: object) -> Iterator[Show]:
    yield do_nothing


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Listener:
    """The callbacks of a use case. By default they do nothing.

    `notify` gets sentences as they arise, warnings too. `stage` is entered during work that takes a moment, with its
    name, such as "Reading the data". `begin` is called before the first training, with the request that stops it.
    `watch` is entered while workers run a study, with the study, the request that stops it, and a list of notes that
    grows; the function that it yields is called with the progress now and then.
    """

    notify: Notify = do_nothing
    stage: Callable[[str], AbstractContextManager[None]] = _silent_stage
    begin: Callable[[StopRequest], None] = do_nothing
    watch: Callable[[StoredStudy, StopRequest, Sequence[str]], AbstractContextManager[Show]] = _silent_watch


SILENT: Final = Listener()
