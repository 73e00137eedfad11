"""Notifications about a study, through apprise: it finished, failed, paused after failures, or has a new best trial.

Every worker of a study looks at its state, and claims the notification in the database before it sends it. So each is
sent once, by any one of them. If the sender dies before the delivery, another process sends it 20 s after the claim, or
the next one that works on the study. If it dies between the delivery and the record of it, which takes milliseconds,
the notification is sent again: it arrives at least once, and twice only then.
"""

import hashlib
import logging
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Self, final

from hpsearch.errors import HpsearchError, StorageError, UsageError
from hpsearch.installation import install_command
from hpsearch.storage.notifications import SEND_WITHIN_S
from hpsearch.storage.records import Progress, StoredStudy
from hpsearch.storage.store import Store
from hpsearch.study.messages import format_count
from hpsearch.worker.child_trial import PAUSED_BY_FAILURES
from hpsearch.worker.events import Emit, StudyWatcher, failed_event, state_event
from hpsearch.worker.shutdown import StopRequest, do_nothing

LOOK_EVERY_S: Final = 1.0
NOTIFY_EVERY_S: Final = 5.0
"""The same without a stream of events: every worker of a fleet looks, and only one sends."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Notification:
    """One notification: its kind, its subject, which differs from those of others of its kind, and its text."""

    event: str
    subject: str
    title: str
    body: str


def due_notifications(study: StoredStudy, progress: Progress) -> Iterator[Notification]:
    """Yield the notifications that the study's present state calls for, whether they were sent before or not."""
    best = progress.best
    done = f"{progress.finished:,} of {format_count(progress.budget, 'trial')} finished"
    result = "" if best is None else f"; best: trial {best.number}, {study.spec.metric} {best.value:.4g}"
    if best is not None:
        yield Notification(
            event="new_best",
            subject=f"trial {best.number}",
            title=f'Study "{study.name}": trial {best.number} is the best',
            body=f"{study.spec.metric} {best.value:.4g}; {done}",
        )
    state = state_event(progress)
    if state == "study_finished":
        yield Notification(
            event=state,
            subject=_end_words(progress),
            title=f'Study "{study.name}" finished',
            body=f"{done}{result}",
        )
    elif state == "study_failed" or (state == "study_paused" and PAUSED_BY_FAILURES in str(progress.stopped)):
        word = "failed" if state == "study_failed" else "paused"
        yield Notification(
            event=state,
            subject=str(progress.stopped),
            title=f'Study "{study.name}" {word}',
            body=f"{progress.stopped}; {done}{result}",
        )


def _end_words(progress: Progress) -> str:
    """Return the budget and all limits: they differ if the study goes on, after an edit, and ends again.

    The limit that ended it is no part: results that other workers had under way may reach another one, or the budget.
    """
    return ", ".join(
        (f"budget {progress.budget}", *(f"{limit.name} {limit.limit}" for limit in progress.limits))
    )


def shown_notify_url(url: str) -> str:
    """Return a notification's URL without anything that may be secret: only its kind."""
    return f"{url.partition('://')[0]}://****"


def check_urls(urls: Sequence[str]) -> None:
    """Raise HpsearchError if apprise is not installed, and UsageError with every URL that it does not support."""
    if not urls:
        return
    library = _apprise()
    wrong = [
        f"notify.urls[{i}]: must be a URL that apprise supports (got {shown_notify_url(url)}):"
        " see https://github.com/caronc/apprise/wiki"
        for i, url in enumerate(urls)
        if library.Apprise.instantiate(url) is None
    ]
    if wrong:
        raise UsageError("\n".join(wrong))


def _apprise() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of modules that its plugins import
            import apprise  # noqa: PLC0415 - an extra

            apprise.Apprise.instantiate("json://localhost")  # which loads the plugins
    except ImportError:
        raise HpsearchError(
            f"notify.urls: needs apprise, which is not installed: {install_command('notify')}"
        ) from None
    # Its messages name servers, and would be printed if the program configures no logging.
    logging.getLogger("apprise").addHandler(logging.NullHandler())
    return apprise


def _send(url: str, one: Notification) -> bool:
    """Send a notification to one URL; return False if it was not delivered."""
    sender = _apprise().Apprise()
    return bool(sender.add(url) and sender.notify(title=one.title, body=one.body))


@final
@dataclass(kw_only=True, slots=True)
class Notifier:
    """Sends the due notifications of one study; `note` gets a sentence about those that could not be delivered."""

    store: Store
    note: Callable[[str], None]
    _done: set[tuple[str, str]] = field(default_factory=set)
    _notes: set[str] = field(default_factory=set)

    def send(self, study: StoredStudy, progress: Progress) -> bool:
        """Send what is due and not sent yet; return True if another process is sending some of it."""
        return self.send_each(study, list(due_notifications(study, progress)))

    def send_each(self, study: StoredStudy, due: Sequence[Notification]) -> bool:
        """Send those that are not sent yet; return True if another process is sending some of them."""
        is_busy = False
        for url in self.store.notifications.urls(study):
            for one in due:
                is_busy |= self._send_once(study, url, one)
        return is_busy

    def _send_once(self, study: StoredStudy, url: str, one: Notification) -> bool:
        subject = hashlib.sha256(f"{url}\n{one.subject}".encode()).hexdigest()
        if (one.event, subject) in self._done:
            return False
        try:
            _apprise()  # a process without apprise must not claim it
        except HpsearchError as error:
            return self._note_once(f"{error}")
        claim = self.store.notifications.claim(study, one.event, subject)
        if claim == "claimed" and not _send(url, one):
            return self._note_once(
                f'study "{study.name}": {shown_notify_url(url)} did not take the notification'
                f" ({one.event}): check notify.urls and the network"
            )
        if claim == "claimed":
            self.store.notifications.finish(study, one.event, subject)
        if claim != "busy":
            self._done.add((one.event, subject))
        return claim == "busy"

    def _note_once(self, line: str) -> bool:
        if line not in self._notes:
            self._notes.add(line)
            self.note(line)
        return False


@final
@dataclass(kw_only=True, slots=True)
class _Watched:
    study: StoredStudy
    watcher: StudyWatcher
    notifier: Notifier


@final
@dataclass(kw_only=True, slots=True)
class EventWatch:
    """Watches studies in a thread: `emit` gets their events, and their notifications are sent.

    `living` and `lost` return the names of the caller's workers that are alive, and of those that have died. At the end
    it looks once more, and waits for notifications that another process is sending: if that one is killed, they are
    sent here. With `runs_study`, an error that ends it is a failure of the study.
    """

    store: Store
    stop: StopRequest
    emit: Emit | None = None
    note: Callable[[str], None] = do_nothing
    living: Callable[[], Collection[str]] = tuple
    lost: Callable[[], Collection[str]] = tuple
    runs_study: bool = False
    _watched: dict[str, _Watched] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _has_ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, name="events", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._has_ended.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(HpsearchError):
            is_busy = self._look()
            if isinstance(error, HpsearchError) and self.runs_study:
                self._fail(str(error))
            deadline = time.monotonic() + SEND_WITHIN_S + LOOK_EVERY_S
            while is_busy and time.monotonic() < deadline and not self.stop.wait(LOOK_EVERY_S):
                is_busy = self._look()

    def add(self, study: StoredStudy) -> None:
        """Watch a study from now on, until it ends or stops, if anything is to be sent. Earlier ends are no events."""
        with suppress(StorageError), self._lock:
            is_wanted = self.emit is not None or bool(self.store.notifications.urls(study))
            if is_wanted and study.key not in self._watched:
                watcher = StudyWatcher(self.store, self.lost)
                if self.emit is not None:
                    progress = self.store.studies.progress(study, living=self.living())
                    for event in watcher.look(study, progress):
                        self.emit(event)
                notifier = Notifier(store=self.store, note=self.note)
                self._watched[study.key] = _Watched(study=study, watcher=watcher, notifier=notifier)

    def _fail(self, reason: str) -> None:
        for one in self._watched.values():
            event = failed_event(one.study, self.store.studies.progress(one.study), reason)
            if self.emit is not None:
                self.emit(event)
            title = f'Study "{one.study.name}" failed'
            subject = f"{event.finished} finished: {reason}"
            failure = Notification(event=event.event, subject=subject, title=title, body=reason)
            one.notifier.send_each(one.study, [failure])

    def _watch(self) -> None:
        while not self._has_ended.wait(NOTIFY_EVERY_S if self.emit is None else LOOK_EVERY_S):
            with suppress(HpsearchError):  # the worker reports a database that is gone
                self._look()

    def _look(self) -> bool:
        """Look at all studies, and forget those that ended; return True if another process sends a notification."""
        is_busy = False
        with self._lock:
            for one in list(self._watched.values()):
                progress = self.store.studies.progress(one.study, living=self.living())
                if self.emit is not None:
                    for event in one.watcher.look(one.study, progress):
                        self.emit(event)
                is_sending = one.notifier.send(one.study, progress)
                is_busy |= is_sending
                if state_event(progress) is not None and not is_sending and not self._has_ended.is_set():
                    del self._watched[one.study.key]
        return is_busy
