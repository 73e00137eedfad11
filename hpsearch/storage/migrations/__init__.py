"""The history of our tables, one module per revision, which Alembic runs (`hpsearch.storage.upgrade`).

`schema` defines the present tables; new databases get them from there, stamped with its `REVISION`. To change them:

1. change `schema`, with the next number as its `REVISION`;
2. write `versions/revision_NNNN.py`, which turns the tables of the previous revision into those, and keeps every row;
3. add the files that `tests/contract/golden` describes, so that databases of the previous revision stay tested.

During a rolling upgrade two versions use one database: workers of the older one continue after the newer one's
revisions ran. So the first two digits of a revision count breaks, and the last two count additions. An addition creates
tables, indexes, and columns that may be null or have a default in the database; it drops, renames and changes nothing,
and the older version's rows keep their meaning. Columns and tables that an addition makes superfluous are removed a
release later, in a revision that begins with the next two digits ("0100"), which older versions refuse. From a new
table with a `study_key`, rows of studies that an older version deleted are swept.

A revision uses nothing of `schema`, which changes later. It runs inside one transaction, which PostgreSQL and SQLite
roll back on failure; MySQL and MariaDB commit each change of a table separately, so there a revision must tolerate a
rerun after it was half done. There is no downgrade to an older revision.
"""
