"""Changes to a stored study while workers run: its budget, its priority, and pauses."""

import getpass
import shlex
import socket

from hpsearch.analysis.study_state import state_sentence
from hpsearch.cli.output import answer
from hpsearch.errors import UsageError
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store
from hpsearch.workflows.studies import with_budget


def edit_study(store: Store, name: str, *, trials: int | None, priority: int | None) -> None:
    """Set what is given, and say so. Raises UsageError where nothing is."""
    if trials is None and priority is None:
        raise UsageError("study edit: needs a value to set (got none): add --trials N or --priority N")
    study = store.study(name)
    if trials is not None:
        answer(with_budget(store, study, trials).sentence)
    if priority is not None:
        store.set_priority(study, priority)
        answer(f'Study "{name}": the priority is {priority} now (it was {study.priority})')
    _write_state(store, study)


def pause_study(store: Store, name: str) -> None:
    """Pause a study, and say so and how to go on."""
    study = store.study(name)
    answer(f'Study "{name}": {store.pause(study, by=_user())}')
    if running := store.progress(study).running:
        answer(f"In training, and going on to their end: {running:,}")
    answer(f"Go on with: hpsearch study resume {shlex.quote(name)}")


def resume_study(store: Store, name: str) -> None:
    """Let a paused study go on, and say how it stands."""
    study = store.study(name)
    answer(f'Study "{name}": {"goes on" if store.resume(study) else "was not paused"}')
    _write_state(store, study)


def _write_state(store: Store, study: StoredStudy) -> None:
    answer(f"{study.spec.name}: {state_sentence(store.progress(study))}")


def _user() -> str:
    """Return who runs this: `user@host`, or the host alone where the system has no name for the user."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError, ImportError):
        return socket.gethostname()
