"""Notes as Optuna's dashboard stores them in the system attributes of a study, and which of them are ours.

A note has a version, which every change increments, and a body in pieces: `dashboard:TRIAL_ID:note_ver` and
`dashboard:TRIAL_ID:note_str:0`, `:1` and so on; without `TRIAL_ID:` it is the study's own.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

_PIECE: Final = 2045
"""Characters; the maximum length that all versions of Optuna's tables accept."""

_SIGNATURE: Final = "\n\n[hpsearch]: # ({digest})"
"""A definition without references: Markdown does not show it."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StoredNote:
    """A stored note; version 0 means that there is none."""

    version: int
    body: str
    pieces: int

    @property
    def is_free(self) -> bool:
        """True if the note may be overwritten: there is none, or it is one of ours and unchanged."""
        return self.version == 0 or is_ours(self.body)


def signed(text: str) -> str:
    """Return the text as a note that `is_ours` recognizes as long as it is unchanged."""
    return text + _SIGNATURE.format(digest=_digest(text))


def is_ours(body: str) -> bool:
    """Return True for a result of `signed`; False for everything that a user wrote or changed."""
    text, _, _ = body.rpartition("\n\n")
    return body == signed(text)


def is_published(attributes: Mapping[str, Any]) -> bool:
    """Return True if the study with these system attributes has a note of ours that no user has changed."""
    note = stored_note(attributes, None)
    return note.version > 0 and is_ours(note.body)


def version_key(trial_id: int | None) -> str:
    """Return the key of the version of a trial's note; None is the study itself."""
    return f"{_prefix(trial_id)}note_ver"


def stored_note(attributes: Mapping[str, Any], trial_id: int | None) -> StoredNote:
    """Return the note of a trial, or of the study for None, from its study's system attributes."""
    pieces: list[str] = []
    while (piece := attributes.get(_piece_key(trial_id, len(pieces)))) is not None:
        pieces.append(str(piece))
    version = int(attributes.get(version_key(trial_id), 0))
    return StoredNote(version=version, body="".join(pieces), pieces=len(pieces))


def note_attributes(before: StoredNote, trial_id: int | None, body: str) -> dict[str, Any]:
    """Return the attributes that replace a note by `body`; surplus pieces become empty."""
    count = max(before.pieces, math.ceil(len(body) / _PIECE))
    pieces = {
        _piece_key(trial_id, index): body[index * _PIECE : (index + 1) * _PIECE] for index in range(count)
    }
    return {version_key(trial_id): before.version + 1, **pieces}


def _prefix(trial_id: int | None) -> str:
    return "dashboard:" if trial_id is None else f"dashboard:{trial_id}:"


def _piece_key(trial_id: int | None, index: int) -> str:
    return f"{_prefix(trial_id)}note_str:{index}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
