"""Progress of a run on stderr with Rich: a live display in a terminal, a line now and then elsewhere."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self, final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpsearch.api.pace import Pace, count_words, run_facts
from hpsearch.api.terminal_text import folded, printable, printable_cell
from hpsearch.storage.records import Progress, StoredStudy
from hpsearch.worker.shutdown import StopRequest, do_nothing
from hpsearch.workflows.listener import Notify, Show

_LINE_EVERY_S: Final = 10.0
_LINE_EVERY_SHARE: Final = 0.1
_WIDEST_BAR: Final = 30
_NARROWEST_BAR: Final = 6
_STOPPING: Final = "finishing; Ctrl-C again to stop at once"


def stderr() -> Console:
    """Return stderr, looked up at each call, since a test may replace it."""
    return Console(stderr=True, highlight=False, markup=False)


@contextmanager
def watch_in_terminal(study: StoredStudy, stop: StopRequest, notes: Sequence[str]) -> Iterator[Show]:
    """Show the progress of a study on stderr, which is a terminal, until the context exits."""
    with Display(study, stop, notes=notes) as display:
        yield display.show


@contextmanager
def sentences_in_terminal(name: str) -> Iterator[Notify]:
    """Show the last sentence of a call on stderr, which is a terminal, until the context exits."""
    with stderr().status(Text(printable_cell(name))) as status:
        yield lambda line: status.update(Text(printable_cell(f"{name}: {line}")))


@final
@dataclass(slots=True)
class Display:
    """Shows a study's progress until its context exits, and the pool's notes as they arrive.

    After a request to stop, it prints the consequences at once. `write` prints a line if stderr is no terminal.
    """

    study: StoredStudy
    stop: StopRequest
    notes: Sequence[str] = ()
    write: Notify = do_nothing
    _console: Console = field(default_factory=stderr)
    _live: Live | None = None
    _pace: Pace = field(default_factory=Pace)
    _noted: int = 0
    _line_at_s: float = 0.0
    _line_share: float = -1.0
    _left: threading.Event = field(default_factory=threading.Event)
    _saying: threading.Lock = field(default_factory=threading.Lock)
    watch: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(
                Text("Starting workers ..."), console=self._console, refresh_per_second=4, transient=True
            )
            self._live.start()
        else:
            self._write("Starting workers")
        self.watch = threading.Thread(target=self._announce, name="announce", daemon=True)
        self.watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        if self.watch is not None:
            self.watch.join()
        if self._live is not None:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Show the current progress of the study."""
        now_s = time.monotonic()
        self._pace.see(progress, now_s)
        self._write_notes()
        if self._live is not None:
            self._live.update(self._picture(progress, now_s))
        elif self._is_line_due(progress, now_s):
            self._line_share, self._line_at_s = _share(progress), now_s
            self._write(
                "; ".join(
                    (
                        count_words(progress),
                        *run_facts(
                            self.study, progress, self._pace, now_s=now_s, is_stopping=self.stop.is_requested
                        ),
                    )
                )
            )

    def _announce(self) -> None:
        """Print lines that cannot wait for the main thread, which may be busy or waiting for the database.

        These are the notes, and once that a request to stop has arrived, also if the run ends at once.
        """
        while not self._left.wait(0.05):
            self._write_notes()
            if self.stop.is_requested:
                break
        if self.stop.is_requested:
            self._write(_STOPPING)

    def _write_notes(self) -> None:
        with self._saying:
            for note in self.notes[self._noted :]:
                self._write(note)
                self._noted += 1

    def _write(self, line: str) -> None:
        if self._live is not None:
            self._console.print(Text(folded(printable(line), self._console.width)), soft_wrap=True)
        else:
            self.write(line)

    def _is_line_due(self, progress: Progress, now_s: float) -> bool:
        """Return True every 10 % of the budget, every 10 s, and at the end."""
        share = _share(progress)
        return (
            share - self._line_share >= _LINE_EVERY_SHARE
            or now_s - self._line_at_s >= _LINE_EVERY_S
            or (share >= 1 > self._line_share)
        )

    def _picture(self, progress: Progress, now_s: float) -> RenderableType:
        first, *rest = run_facts(
            self.study, progress, self._pace, now_s=now_s, is_stopping=self.stop.is_requested
        )
        numbers = f"{count_words(progress)}; {first}"
        # The bar shrinks for the numbers, the last of which is the time that is left; then they move off its line.
        free = self._console.width - len(self.study.spec.name) - 2
        if free - len(numbers) - 1 < _NARROWEST_BAR:
            numbers, rest = "", [numbers, *rest]
        width = max(_NARROWEST_BAR, min(_WIDEST_BAR, free - len(numbers) - 1))
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            Text(printable_cell(self.study.spec.name), style="bold", overflow="ellipsis", no_wrap=True),
            ProgressBar(
                total=progress.budget, completed=min(progress.finished, progress.budget), width=width
            ),
            Text(numbers, no_wrap=True),
        )
        return Group(bar, *(Padding(Text(line), (0, 0, 0, 2)) for line in rest))


def _share(progress: Progress) -> float:
    """Return the finished share of the budget."""
    return progress.finished / progress.budget
