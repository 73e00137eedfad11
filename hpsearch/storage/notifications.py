"""Notifications of studies: the URLs that they go to, and which process sends each.

Functions run inside their caller's transaction.
"""

import json
from typing import Final, Literal, TypeAlias, final

from sqlalchemy import Connection, delete, insert, select, update

from hpsearch.storage import schema
from hpsearch.storage.clock import EpochSeconds
from hpsearch.storage.engine import Transactions
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.stored_studies import LockedStudy, change
from hpsearch.storage.stored_values import plain_json

SEND_WITHIN_S: Final = 20.0
"""A notification that was claimed but not sent for this long is another process's to send: the first one has died.

apprise gives up after 4 s without a connection and 4 s without an answer."""

Claim: TypeAlias = Literal["claimed", "busy", "sent"]
"""The result of a claim: it is the caller's to send, another process is sending it, or it was sent."""

_urls = schema.notify
_claims = schema.notifications


@final
class Notifications:
    """The notifications of all studies. Threads may share it. Methods that write raise StudyNotFoundError."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def urls(self, study: StoredStudy) -> tuple[str, ...]:
        """Return the URLs that the study's notifications go to. They may contain passwords."""
        return () if study.foreign is not None else self._transactions.read(_read_urls, study.key)

    def claim(self, study: StoredStudy, event: str, subject: str) -> Claim:
        """Claim one notification, which `event` and `subject` identify, for `SEND_WITHIN_S`.

        Of all processes exactly one claims it. If that one dies before it calls `finish`, another one may claim it
        afterwards.
        """
        return change(self._transactions, study, _claim, event, subject)

    def finish(self, study: StoredStudy, event: str, subject: str) -> None:
        """Record that a notification was sent: it is never claimed again."""
        change(self._transactions, study, _finish, event, subject)


def write_urls(connection: Connection, key: str, urls: tuple[str, ...]) -> None:
    """Replace the URLs of a study."""
    connection.execute(delete(_urls).where(_urls.c.study_key == key))
    if urls:
        connection.execute(insert(_urls).values(study_key=key, urls=json.dumps(urls)))


def _read_urls(connection: Connection, key: str) -> tuple[str, ...]:
    text = connection.execute(select(_urls.c.urls).where(_urls.c.study_key == key)).scalar_one_or_none()
    found = None if text is None else plain_json(str(text))
    return tuple(url for url in found if isinstance(url, str)) if isinstance(found, list) else ()


def parent_urls(connection: Connection, key: str | None) -> tuple[str, ...]:
    """Return the URLs of the study that a new one follows up."""
    return () if key is None else _read_urls(connection, key)


def _claim(connection: Connection, locked: LockedStudy, event: str, subject: str) -> Claim:
    key = {"study_key": locked.study.key, "event": event, "subject": subject}
    at = [_claims.c[name] == value for name, value in key.items()]
    row = connection.execute(select(_claims).where(*at)).one_or_none()
    until = locked.now_s + SEND_WITHIN_S
    if row is None:
        connection.execute(insert(_claims).values(**key, claimed_until=until))
        return "claimed"
    if row.sent is not None:
        return "sent"
    if row.claimed_until > locked.now_s:
        return "busy"
    connection.execute(update(_claims).where(*at).values(claimed_until=until))
    return "claimed"


def _finish(connection: Connection, locked: LockedStudy, event: str, subject: str) -> None:
    connection.execute(
        update(_claims)
        .where(
            _claims.c.study_key == locked.study.key, _claims.c.event == event, _claims.c.subject == subject
        )
        .values(sent=EpochSeconds())
    )
