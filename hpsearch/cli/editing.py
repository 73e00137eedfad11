"""Changes to a stored study, for people."""

import getpass
import shlex
import socket

from hpsearch.analysis.study_state import state_sentence
from hpsearch.cli.output import answer
from hpsearch.workflows.studies import Edited


def write_edited(edited: Edited) -> None:
    """Write what was changed and how the study stands to stdout."""
    _write_sentences(edited)
    answer(f"{edited.study.spec.name}: {state_sentence(edited.progress)}")


def write_paused(edited: Edited) -> None:
    """Write that the study was paused, and how to go on, to stdout."""
    write_stopped(edited)
    answer(f"Go on with: hpsearch study resume {shlex.quote(edited.study.spec.name)}")


def write_stopped(edited: Edited) -> None:
    """Write that the study takes no more trials to stdout."""
    _write_sentences(edited)
    if edited.progress.running:
        answer(f"In training, and going on to their end: {edited.progress.running:,}")


def _write_sentences(edited: Edited) -> None:
    for sentence in edited.sentences:
        answer(sentence)


def user() -> str:
    """Return who runs this: `user@host`, or the host alone if the system has no name for the user."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError, ImportError):
        return socket.gethostname()
