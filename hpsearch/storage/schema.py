"""Our tables, next to Optuna's, and the states of a trial.

The state is Optuna's `trials.state`:

                 claim (attempt + 1, a new token, a lease)
      waiting ------------------------------------------------> running
         ^                                                        | |
         |   release, sweep (attempt written to the history,      | |
         |   reports removed, epochs and steps 0, lease gone)     | |
         +--------------------------------------------------------+ |
                                                                    |
         record with an outcome: complete, pruned or failed         |
         release or sweep with the third worker: failed,        <---+
         worker_lost

* While a trial's state is running, only the claim that holds its token may write it. The token outlives the end of the
  trial, so that a writer whose answer was lost finds its own work done.
* `lease_until` is not null exactly while a worker of ours runs the trial. A worker loses an expired lease only when it
  is swept. All times are the database's, in seconds since 1970-01-01 UTC.
* Clocks jump, and machines sleep. So an expired lease is swept only after it stayed unchanged, by a monotonic clock,
  for half its length and at most 15 s: a heartbeat would renew it (`workers`). Leases are swept at once if their worker
  has left the registry, has sent a heartbeat without renewing them, or, on SQLite, is no longer a process of this
  machine. A parent sweeps no running child.
* The `kind` of an unsuccessful attempt:
  - `handed_back` by its worker, or by the worker's parent or copy: does not count.
  - `crashed`: the parent or the worker itself saw the worker die or fail. It counts.
  - `lost`: the lease expired and the worker is gone, while another worker survived, or there was no other. It counts if
    the trial was held alone; otherwise it counts, once, when a later attempt does.
  - `expired`: the lease expired, probably because of something that affects all workers: a clock, a sleep, a failover;
    or the worker left, or had a parent that would have seen it die. It does not count.
  - `superseded`: the lease expired, but its worker is alive: it was seen since, or showed the attempt's token. A lost
    or expired attempt becomes superseded if its worker comes back, and no longer counts.
  It is null if hpsearch before 0003 wrote the attempt; `crashed` shows whether it counts.
* `kept` counts the first epochs of an attempt with which a later attempt at the trial went on from a checkpoint: they
  are among that one's epochs. It is null if there are none, or hpsearch before 0005 wrote the row.
* A trial fails once three lost workers count against it. One that was held alone and `expired` fails at the tenth time,
  so that no trial is retried endlessly.
* A lost worker leaves such an attempt with each trial that it held, most of them innocent. So a trial with an attempt
  that crashed, was lost or expired is a suspect: it is claimed last, and alone, by a worker that holds nothing and
  takes no other with it. The third lost worker is therefore its own fault.
* A trial that another Optuna client made has no row here until a worker of ours claims it.
* `studies.study_key` is the identity of a study. Optuna's `study_id` may be reused after a deletion, so the study's
  user attribute `hpsearch:study` holds the key, and both must agree. No foreign key refers from here to Optuna's
  tables: other clients may delete any row, and `orphans` cleans up after them.
* Every trial with `trial_id` at or below `settled_trial_id` has ended permanently; `settled_*` count them, so that a
  claim reads only the rest.
* `evaluations` are trials' configurations, trained again with other seeds on request: no claim, no lease, no budget. A
  loss, an accuracy or a score that is not finite is null. `score` is the study's metric if it is neither of the others;
  it is null if hpsearch before 0004 wrote the row. `unsealing` is null until the study's sealed test part is opened,
  and then never changes.
* `parent` is the key of the study that this one follows up; that study may be deleted.
* `edits` of a study are those of its ranges, oldest first: a JSON list of tables with `before` and `after`, the range
  before and after the edit, `trials`, the number of the first trial after all that had parameters at that time, and
  `made`, the time of the edit. It is null if no range was edited.
* `hpsearch_notify` holds the URLs to which a study's notifications go. They may contain passwords, so they are apart
  from the specification, and no copy or export of a study contains them.
* A row of `hpsearch_notifications` is one notification, which exactly one process may send: the one that inserted it or
  took it over, until `claimed_until`. It is never sent again once `sent` is not null.
* `hpsearch_data` lists the parts of the files that a study's data was stored from; `hpsearch_blobs` holds their
  contents, zlib-compressed, by the SHA-256 of the uncompressed part. A blob without a part is deleted with the study
  that used it last. Both are written only by a transaction that has locked the row of the version table.
* A worker has sent heartbeats without a gap of half a lease since `steady_since`; with `has_parent`, a process of ours
  started it and watches it. Both are null if hpsearch before 0003 wrote the row. `engine`, `node`, `job` and `log` are
  null if no engine placed the worker, or hpsearch before 0005 wrote the row; `problem` is why it takes no more work.
* `version` of a trial grows with every write to it, except of its parameters.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects.mysql import LONGBLOB, LONGTEXT

REVISION: Final = "0005"
"""The newest of `migrations`, which these tables match: four digits, so that revisions sort by age."""

LINK_ATTRIBUTE: Final = "hpsearch:study"
"""The user attribute of Optuna's study that holds our key of it."""

SEEN_ATTRIBUTE: Final = "hpsearch:seen"
"""The system attribute that stores the last sign of life of a trial that another Optuna client runs."""

metadata = MetaData()

_key = String(36)
_worker = String(190)
_json = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
_blob = LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")
_mysql: Any = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}

versions = Table(
    "hpsearch_alembic_version", MetaData(), Column("version_num", String(32), primary_key=True), **_mysql
)
"""Alembic's version table for our revisions, which Alembic would create itself. Optuna's is `alembic_version`."""

studies = Table(
    "hpsearch_studies",
    metadata,
    Column("study_key", _key, primary_key=True),
    Column("study_id", Integer, nullable=False),
    Column("name", String(512), nullable=False),
    Column("spec", _json, nullable=False),
    Column("fingerprint", String(190), nullable=False),
    Column("budget", Integer, nullable=False),
    Column("priority", Integer, nullable=False, default=0),
    Column("created", Double, nullable=False),
    Column("stopped", _json),
    Column("hpsearch_version", String(64), nullable=False),
    Column("settled_trial_id", Integer, nullable=False, default=-1),
    Column("settled_complete", Integer, nullable=False, default=0),
    Column("settled_pruned", Integer, nullable=False, default=0),
    Column("settled_failed", Integer, nullable=False, default=0),
    Column("parent", _key),
    Column("unsealing", _json),
    Column("edits", _json),
    **_mysql,
)

trials = Table(
    "hpsearch_trials",
    metadata,
    Column("study_key", _key, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("trial_id", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("worker", _worker),
    Column("lease_until", Double),
    Column("epochs", Integer, nullable=False),
    Column("steps", BigInteger, nullable=False),
    Column("reported", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("verdict", String(64)),
    Column("finding", _json),
    **_mysql,
)

for _name, _columns in (
    ("hpsearch_leases_of_study", (trials.c.study_key, trials.c.lease_until)),
    ("hpsearch_leases_of_worker", (trials.c.worker, trials.c.lease_until)),
):
    # Only running trials have a lease, and if the database supports it, these indexes contain only them.
    _leased = trials.c.lease_until.is_not(None)
    Index(_name, *_columns, sqlite_where=_leased, postgresql_where=_leased)

attempts = Table(
    "hpsearch_attempts",
    metadata,
    Column("study_key", _key, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("worker", _worker),
    Column("why", _json, nullable=False),
    Column("crashed", Boolean, nullable=False),
    Column("epochs", Integer, nullable=False),
    Column("ended", Double, nullable=False),
    Column("started", Double),
    Column("kind", String(16)),
    Column("kept", Integer),
    **_mysql,
)

series = Table(
    "hpsearch_series",
    metadata,
    Column("study_key", _key, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("format", Integer, nullable=False),
    Column("payload", _blob, nullable=False),
    **_mysql,
)

evaluations = Table(
    "hpsearch_evaluations",
    metadata,
    Column("study_key", _key, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("part", String(16), primary_key=True),
    Column("seed", BigInteger, primary_key=True, autoincrement=False),
    Column("loss", Double),
    Column("accuracy", Double),
    Column("made", Double, nullable=False),
    Column("score", Double),
    **_mysql,
)

workers = Table(
    "hpsearch_workers",
    metadata,
    Column("worker", _worker, primary_key=True),
    Column("host", String(255), nullable=False),
    Column("process_id", Integer, nullable=False),
    Column("hpsearch_version", String(64), nullable=False),
    Column("started", Double, nullable=False),
    Column("seen", Double, nullable=False),
    Column("should_stop", Boolean, nullable=False),
    Column("steady_since", Double),
    Column("has_parent", Boolean),
    Column("engine", String(32)),
    Column("node", String(255)),
    Column("job", String(190)),
    Column("log", String(1024)),
    Column("problem", String(1024)),
    **_mysql,
)

notify = Table(
    "hpsearch_notify",
    metadata,
    Column("study_key", _key, primary_key=True),
    Column("urls", _json, nullable=False),
    **_mysql,
)

notifications = Table(
    "hpsearch_notifications",
    metadata,
    Column("study_key", _key, primary_key=True),
    Column("event", String(32), primary_key=True),
    Column("subject", String(64), primary_key=True),
    Column("claimed_until", Double, nullable=False),
    Column("sent", Double),
    **_mysql,
)

data = Table(
    "hpsearch_data",
    metadata,
    Column("study_key", _key, primary_key=True),
    Column("file", String(255), primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False),
    **_mysql,
)

blobs = Table(
    "hpsearch_blobs",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("payload", _blob, nullable=False),
    **_mysql,
)

Index("hpsearch_parts_of_blob", data.c.digest)

STUDY_DETAILS: Final = (trials, attempts, series, evaluations)
"""Tables whose rows belong to a trial of a study, by `study_key` and `number`."""

STUDY_TABLES: Final = (*STUDY_DETAILS, notify, notifications, data)
"""Tables whose rows belong to a study, by `study_key`."""
