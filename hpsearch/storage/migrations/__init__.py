"""The history of our tables, one module a revision, which Alembic runs (`hpsearch.storage.upgrade`).

`schema` says what the tables are now; new databases get them from there, stamped with its `REVISION`. To change
them:

1. change `schema`, with the next number as its `REVISION`;
2. write `versions/revision_NNNN.py`, which turns the tables of the revision before into those, and keeps every row;
3. add what `tests/contract/golden` says, so that databases of the revision before stay tried for ever.

Two versions work side by side on one database for the time of a rolling upgrade: workers of the older one go on after
the newer one's revisions ran. So the first two digits of a revision count breaks, and the last two count additions. An
addition makes tables, indexes, and columns that may be null or have a default in the database; it drops, renames and
changes nothing, and the older version's rows mean what they meant. What an addition makes superfluous goes a release
later, in a revision that begins with the next two digits ("0100"), which older versions refuse. A new table with a
`study_key` is swept of the studies that an older version deleted.

A revision uses nothing of `schema`, which will have moved on. It runs inside one transaction, which PostgreSQL and
SQLite undo when it fails; MySQL and MariaDB commit each change of a table by itself, so there a revision must stand
being run again after it was half done. There is no way back to an older revision.
"""
