"""Hostile export files: a good one, changed in ways that SQLite allows and no export has. Each can be made again."""

import random
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeAlias

from sqlalchemy import String

from hpsearch.storage import optuna_schema, schema

Change: TypeAlias = Callable[[sqlite3.Connection], object]

VALUES: Final[tuple[Any, ...]] = (
    None,
    "text",
    "",
    "NaN",
    -1,
    -7,
    0,
    2**31,
    2**63 - 1,
    0.5,
    1e308,
    float("inf"),
    b"",
    b"\xff\xfe",
    b"blob" * 100,
    "x" * 100_000,
    "null",
    "{}",
    "[" * 100_000,
    '"' + "\\ud800" + '"',
    "a\0b",
    "2999-01-01 00:00:00",
    "0001-01-01 00:00:00.000000",
    "\N{SNOWMAN}\u202e",
)
"""Values that may stand in any column of a table without types."""

TABLES: Final = tuple(
    table
    for table in (*optuna_schema.metadata.sorted_tables, *schema.metadata.sorted_tables)
    if table not in (optuna_schema.trial_heartbeats, optuna_schema.alembic_version, schema.workers)
)

INVALID_TEXT: Final = (b"\xed\xa0\x80", b"abc\xff", b"\xc3")
"""Bytes that are no UTF-8: half of a surrogate pair, a stray byte, half a letter."""


def loosen(connection: sqlite3.Connection) -> None:
    """Make every table again without types and rules, as the author of a hostile file would."""
    for table in TABLES:
        columns = ", ".join(
            f'"{c.name}" INTEGER PRIMARY KEY' if c is _row_id(table) else f'"{c.name}"' for c in table.columns
        )
        names = ", ".join(f'"{c.name}"' for c in table.columns)
        connection.execute(f"CREATE TABLE loose ({columns})")
        connection.execute(f'INSERT INTO loose ({names}) SELECT {names} FROM "{table.name}"')
        connection.execute(f'DROP TABLE "{table.name}"')
        connection.execute(f'ALTER TABLE loose RENAME TO "{table.name}"')


def _row_id(table: Any) -> Any:
    """Return the column that numbers the rows of one of Optuna's tables, or None."""
    first = next(iter(table.primary_key.columns))
    return first if table.metadata is optuna_schema.metadata and first.name.endswith("_id") else None


def write(good: Path, path: Path, change: Change, *, loose: bool = True) -> None:
    """Write a changed copy of the export `good` to `path`."""
    path.write_bytes(good.read_bytes())
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA foreign_keys = OFF")
        if loose:
            loosen(connection)
        change(connection)


def script(statements: str) -> Change:
    """Return the change that SQL makes."""
    return lambda connection: connection.executescript(statements)


def values(seed: int, count: int) -> Iterator[tuple[str, Change]]:
    """Yield changes of one value of one row: any column, any value, chosen by chance."""
    chance = random.Random(seed)
    cells = [
        (table.name, column.name, index)
        for table in TABLES
        for column in table.columns
        for index in range(len(VALUES))
    ]
    for table, column, index in chance.sample(cells, min(count, len(cells))):
        yield (
            f"{table}.{column} = {index} {VALUES[index]!r:.20}",
            _set(table, column, VALUES[index], chance.random()),
        )


def _set(table: str, column: str, value: Any, at: float) -> Change:
    def change(connection: sqlite3.Connection) -> None:
        rows = [row for (row,) in connection.execute(f'SELECT rowid FROM "{table}" ORDER BY rowid')]
        if rows:
            row = rows[int(at * len(rows))]
            connection.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', (value, row))

    return change


UNREAD: Final = frozenset({"hpsearch_notify", "hpsearch_notifications"})
"""Tables that imports ignore: a study of another database notifies nobody here."""


def invalid_texts(seed: int, count: int) -> Iterator[tuple[str, Change]]:
    """Yield changes that put bytes which are no UTF-8 into a column of text."""
    chance = random.Random(seed)
    cells = [
        (table.name, column.name, raw)
        for table in TABLES
        if table.name not in UNREAD
        for column in table.columns
        if isinstance(column.type, String)
        for raw in INVALID_TEXT
    ]
    for table, column, raw in chance.sample(cells, count):
        yield f"{table}.{column} = text {raw!r}", _set_text(table, column, raw)


def _set_text(table: str, column: str, raw: bytes) -> Change:
    return lambda connection: connection.execute(f'UPDATE "{table}" SET "{column}" = CAST(? AS TEXT)', (raw,))


def statements() -> dict[str, str]:
    """Return SQL that changes what rows mean to each other, or what a table is, by its name."""
    bomb = zlib.compress(b'{"names": ["a"], "length": 15000000}\n' + bytes(60_000_000), 9).hex()
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
    return {
        "numbers twice": "UPDATE trials SET number = 0",
        "numbers below zero": "UPDATE trials SET number = number - 4",
        "numbers with gaps": "UPDATE trials SET number = number * 2",
        "ids below zero": "UPDATE trials SET trial_id = trial_id - 1000; " + "".join(
            f"UPDATE {table.name} SET trial_id = trial_id - 1000; "
            for table in (*optuna_schema.TRIAL_DETAILS[:-1], schema.trials)
        ),
        "ids below zero, alone": "UPDATE trials SET trial_id = trial_id - 1000",
        "ids as text": "UPDATE trial_params SET trial_id = CAST(trial_id AS TEXT)",
        "studies as text": "UPDATE trials SET study_id = CAST(study_id AS TEXT)",
        "trials of no study": "UPDATE trials SET study_id = 99 WHERE number > 5",
        "parameters of no trial": "UPDATE trial_params SET trial_id = 9999 WHERE param_id % 2",
        "series of no trial": "UPDATE hpsearch_series SET number = 999 WHERE number = 3",
        "trials of ours of no trial": "UPDATE hpsearch_trials SET trial_id = 9999 WHERE number = 3",
        "other numbers of ours": "UPDATE hpsearch_trials SET number = number + 1",
        "no trials of ours": "DELETE FROM hpsearch_trials",
        "no values": "DELETE FROM trial_values",
        "no parameters": "DELETE FROM trial_params",
        "no directions": "DELETE FROM study_directions",
        "no studies": "DELETE FROM studies",
        "no study of ours": "DELETE FROM hpsearch_studies",
        "no attributes": "DELETE FROM study_user_attributes",
        "no stamp": "DELETE FROM alembic_version",
        "no stamp of ours": "DELETE FROM hpsearch_alembic_version",
        "a stamp of bytes": "UPDATE alembic_version SET version_num = x'ff'",
        "a number as stamp": "UPDATE hpsearch_alembic_version SET version_num = 2",
        "a stamp to come": "UPDATE hpsearch_alembic_version SET version_num = '9999'",
        "values twice": "INSERT INTO trial_values (trial_id, objective, value, value_type) "
        "SELECT trial_id, objective, value, value_type FROM trial_values",
        "reports twice": "INSERT INTO trial_intermediate_values "
        "(trial_id, step, intermediate_value, intermediate_value_type) SELECT trial_id, step, 1, 'FINITE' "
        "FROM trial_intermediate_values",
        "parameters twice": "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) "
        "SELECT trial_id, param_name, param_value, distribution_json FROM trial_params",
        "directions twice": "INSERT INTO study_directions (direction, study_id, objective) "
        "SELECT direction, study_id, objective FROM study_directions",
        "two directions": "INSERT INTO study_directions (direction, study_id, objective) "
        "SELECT direction, study_id, 1 FROM study_directions",
        "studies twice": "INSERT INTO studies (study_name) SELECT study_name FROM studies",
        "keys twice": "INSERT INTO hpsearch_studies SELECT * FROM hpsearch_studies",
        "attributes twice": "INSERT INTO trial_user_attributes (trial_id, key, value_json) "
        "SELECT trial_id, key, value_json FROM trial_user_attributes",
        "all waiting": "UPDATE trials SET state = 'WAITING'",
        "all running": "UPDATE trials SET state = 'RUNNING', datetime_complete = NULL",
        "all complete": "UPDATE trials SET state = 'COMPLETE', datetime_complete = datetime_start "
        "WHERE state = 'PRUNED'",
        "all failed": "UPDATE trials SET state = 'FAIL' WHERE state != 'WAITING'",
        "the other direction": "UPDATE study_directions SET direction = 'MINIMIZE'",
        "a value of nothing": "UPDATE trial_values SET value = NULL",
        "infinite values": "UPDATE trial_values SET value = NULL, value_type = 'INF_POS'",
        "values far away": "UPDATE trial_values SET value = 1e300 WHERE trial_value_id = 1",
        "parameters outside": "UPDATE trial_params SET param_value = 1e9",
        "parameters below": "UPDATE trial_params SET param_value = -1",
        "a choice that is none": "UPDATE trial_params SET param_value = 7 WHERE param_name = 'model.activation'",
        "a choice in between": "UPDATE trial_params SET param_value = 0.5 WHERE param_name = 'model.activation'",
        "other names": "UPDATE trial_params SET param_name = 'x' || param_id",
        "a parameter of none": "UPDATE trial_params SET param_name = 'model.hidden' WHERE param_name = 'weight_decay'",
        "no class": """UPDATE trial_params SET distribution_json = '{"name": "os.system", "attributes": {}}'""",
        "no attributes of it": """UPDATE trial_params SET distribution_json = '{"name": "FloatDistribution"}'""",
        "bounds as text": """UPDATE trial_params SET distribution_json = replace(distribution_json, '0.1', '"a"')""",
        "bounds of nothing": "UPDATE trial_params SET distribution_json = '{\"name\": \"FloatDistribution\", "
        "\"attributes\": {\"low\": NaN, \"high\": NaN, \"log\": false, \"step\": null}}'",
        "a list of choices": "UPDATE trial_params SET param_value = 0, distribution_json = "
        "'{\"name\": \"CategoricalDistribution\", \"attributes\": {\"choices\": [[1], {}]}}'",
        "settled too far": "UPDATE hpsearch_studies SET settled_complete = 500, settled_trial_id = 3",
        "settled below": "UPDATE hpsearch_studies SET settled_complete = -5",
        "settled in the end": "UPDATE hpsearch_studies SET settled_trial_id = 2147483647",
        "a budget without end": "UPDATE hpsearch_studies SET budget = 9223372036854775807",
        "a budget below": "UPDATE hpsearch_studies SET budget = -3",
        "made in the future": "UPDATE hpsearch_studies SET created = 1e18",
        "made before time": "UPDATE hpsearch_studies SET created = -1e18",
        "trials of the future": "UPDATE trials SET datetime_start = '9999-12-31 23:59:59'",
        "ended before it began": "UPDATE trials SET datetime_complete = '1990-01-01 00:00:00.000000' "
        "WHERE datetime_complete IS NOT NULL",
        "a name without end": "UPDATE studies SET study_name = printf('%.*c', 10000000, 'x')",
        "no name": "UPDATE studies SET study_name = ''",
        "a name of lines": "UPDATE studies SET study_name = 'a' || char(10) || char(27) || '[31m'",
        "a name of blanks": "UPDATE studies SET study_name = '  '",
        "another name": "UPDATE studies SET study_name = '../../etc/passwd'",
        "a name as option": "UPDATE studies SET study_name = '--help'",
        "another key": "UPDATE hpsearch_studies SET study_key = 'x'",
        "no version": "UPDATE hpsearch_studies SET hpsearch_version = ''",
        "a version of bytes": "UPDATE hpsearch_studies SET hpsearch_version = x'00'",
        "a version to come": "UPDATE hpsearch_studies SET hpsearch_version = '99.0.0'",
        "another fingerprint": "UPDATE hpsearch_studies SET fingerprint = 'x'",
        "spec of null": "UPDATE hpsearch_studies SET spec = 'null'",
        "spec of a list": "UPDATE hpsearch_studies SET spec = '[]'",
        "spec of nothing": "UPDATE hpsearch_studies SET spec = '{}'",
        "a deep spec": "UPDATE hpsearch_studies SET spec = printf('%.*c', 100000, '[')",
        "a long spec": "UPDATE hpsearch_studies SET spec = spec || printf('%.*c', 20000000, ' ')",
        "epochs as text": """UPDATE hpsearch_studies SET spec = replace(spec, '"epochs": 3', '"epochs": "3"')""",
        "epochs without end": """UPDATE hpsearch_studies SET spec = replace(spec, '"epochs": 3', '"epochs": 1e400')""",
        "many epochs": """UPDATE hpsearch_studies SET spec = replace(spec, '"epochs": 3', '"epochs": 99999999999')""",
        "no epochs": """UPDATE hpsearch_studies SET spec = replace(spec, '"epochs": 3', '"epochs": 0')""",
        "a key to come": """UPDATE hpsearch_studies SET spec = replace(spec, '"epochs": 3', '"epochs": 3, "a": 1')""",
        "no such sampler": """UPDATE hpsearch_studies SET spec = replace(spec, '"tpe"', '"evil"')""",
        "an exact sampler": """UPDATE hpsearch_studies SET spec = replace(spec, '"tpe"', '"none"')""",
        "another metric": """UPDATE hpsearch_studies SET spec = replace(spec, '"validation_accuracy"', '"auto"')""",
        "search of nothing": """UPDATE hpsearch_studies SET spec = replace(spec, '"low": 1e-07', '"low": NaN')""",
        "search upside down": """UPDATE hpsearch_studies SET spec = replace(spec, '"low": 1e-07', '"low": 1e9')""",
        "a wide network": """UPDATE hpsearch_studies SET spec = replace(spec, '[64]', '[10000000000]')""",
        "a negative network": """UPDATE hpsearch_studies SET spec = replace(spec, '[64]', '[-1]')""",
        "a bomb": f"UPDATE hpsearch_series SET payload = x'{bomb}'",
        "no payload": "UPDATE hpsearch_series SET payload = x''",
        "a cut payload": "UPDATE hpsearch_series SET payload = substr(payload, 1, 40)",
        "a huge payload": "UPDATE hpsearch_series SET payload = zeroblob(70000000)",
        "another format": "UPDATE hpsearch_series SET format = 2",
        "series as text": "UPDATE hpsearch_series SET payload = 'text'",
        "no finding": "UPDATE hpsearch_trials SET finding = '{}'",
        "a finding of null": "UPDATE hpsearch_trials SET finding = 'null'",
        "no cause": "UPDATE hpsearch_trials SET verdict = 'evil'",
        "another cause": "UPDATE hpsearch_trials SET verdict = 'overfit'",
        "a verdict of nothing": "UPDATE hpsearch_trials SET verdict = NULL",
        "epochs below": "UPDATE hpsearch_trials SET epochs = -5",
        "leases": "UPDATE hpsearch_trials SET lease_until = 9e18",
        "tokens": "UPDATE hpsearch_trials SET token = -9",
        "reported far away": "UPDATE hpsearch_trials SET reported = 2147483647",
        "attempts of nothing": "INSERT INTO hpsearch_attempts (study_key, number, attempt, worker, why, crashed, "
        "epochs, ended) SELECT study_key, 0, 1, 'w', 'x', 'maybe', 0, 0 FROM hpsearch_studies",
        "attempts of no trial": "INSERT INTO hpsearch_attempts (study_key, number, attempt, worker, why, crashed, "
        "epochs, ended) SELECT study_key, 77, 1, 'w', 'x', 0, 0, 0 FROM hpsearch_studies",
        "attempts of the future": "INSERT INTO hpsearch_attempts (study_key, number, attempt, worker, why, crashed, "
        "epochs, ended) SELECT study_key, 0, 1, 'w', 'x', 0, 0, 1e300 FROM hpsearch_studies",
        "a sealed test opened wrongly": "UPDATE hpsearch_studies SET unsealing = '{\"number\": \"x\"}'",
        "a sealed test of null": "UPDATE hpsearch_studies SET unsealing = 'null'",
        "fixed parameters as a list": "INSERT INTO trial_system_attributes (trial_id, key, value_json) "
        "SELECT trial_id, 'fixed_params', '[1]' FROM trials",
        "remarks without end": "INSERT INTO study_system_attributes (study_id, key, value_json) "
        "SELECT study_id, 'dashboard:' || printf('%.*c', 5000, '9') || ':note_ver', '1' FROM studies",
        "a deep attribute": "UPDATE trial_user_attributes SET value_json = printf('%.*c', 100000, '[')",
        "no json": "UPDATE trial_user_attributes SET value_json = 'x'",
        "an infinite attribute": "UPDATE trial_user_attributes SET value_json = '1e999'",
        "a long number": "UPDATE trial_user_attributes SET value_json = printf('%.*c', 10000, '9')",
        "a file elsewhere": "UPDATE hpsearch_data SET file = '../../evil.csv'",
        "a file on a drive": "UPDATE hpsearch_data SET file = 'C:evil.csv'",
        "a file without a name": "UPDATE hpsearch_data SET file = ''",
        "parts with gaps": "UPDATE hpsearch_data SET part = part + 1",
        "parts twice of a file": "INSERT INTO hpsearch_data SELECT * FROM hpsearch_data",
        "files of no study": "UPDATE hpsearch_data SET study_key = 'x'",
        "parts of nothing": "DELETE FROM hpsearch_blobs",
        "contents twice": "INSERT INTO hpsearch_blobs SELECT * FROM hpsearch_blobs",
        "another digest": "UPDATE hpsearch_data SET digest = upper(digest)",
        "another content": "UPDATE hpsearch_blobs SET payload = x'00'",
        "a bomb of data": f"UPDATE hpsearch_blobs SET payload = x'{bomb}'",
        "a content of no file": "INSERT INTO hpsearch_blobs VALUES ('x', x'00')",
        "notifications elsewhere": "UPDATE hpsearch_notify SET urls = '[\"json://192.0.2.1\"]'",
        "notifications of bytes": "UPDATE hpsearch_notify SET urls = x'ff'; "
        "UPDATE hpsearch_notifications SET claimed_until = 'x', sent = x'ff'",
        "a view": "ALTER TABLE studies RENAME TO s; CREATE VIEW studies AS SELECT * FROM s",
        "an endless view": "ALTER TABLE trials RENAME TO t; CREATE VIEW trials AS "
        f"{endless} SELECT i AS trial_id, i AS number, 1 AS study_id, 'WAITING' AS state, "
        "NULL AS datetime_start, NULL AS datetime_complete FROM n",
        "a slow view": "ALTER TABLE trials RENAME TO t; CREATE VIEW trials AS SELECT t.* FROM t WHERE "
        f"(SELECT count(*) FROM ({endless} SELECT i FROM n)) > 0",
        "a computed column": "ALTER TABLE studies RENAME TO s; CREATE TABLE studies (study_id INTEGER PRIMARY KEY, "
        "study_name TEXT GENERATED ALWAYS AS (printf('%.*c', 100000000, 'x')) VIRTUAL); "
        "INSERT INTO studies (study_id) SELECT study_id FROM s",
        "a virtual table": "DROP TABLE trial_values; CREATE VIRTUAL TABLE trial_values USING fts5(trial_value_id, "
        "trial_id, objective, value, value_type)",
        "no column": "ALTER TABLE trials DROP COLUMN state",
        "no table": "DROP TABLE trial_values",
        "no table of ours": "DROP TABLE hpsearch_series",
        "a trigger": "CREATE TRIGGER t AFTER INSERT ON studies BEGIN DELETE FROM trials; END",
        "ids without rows": "ALTER TABLE studies RENAME TO s; CREATE TABLE studies (study_id INTEGER PRIMARY KEY, "
        "study_name) WITHOUT ROWID; INSERT INTO studies SELECT study_id, study_name FROM s",
        "ids as they come": "ALTER TABLE trials RENAME TO t; CREATE TABLE trials (trial_id TEXT, number, study_id, "
        "state, datetime_start, datetime_complete); INSERT INTO trials SELECT trial_id, number, study_id, state, "
        "datetime_start, datetime_complete FROM t",
        "a slow stamp": "ALTER TABLE alembic_version RENAME TO a; CREATE VIEW alembic_version AS "
        f"SELECT a.* FROM a WHERE (SELECT count(*) FROM ({endless} SELECT i FROM n)) > 0",
    }  # fmt: skip


def damaged(content: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Yield copies of a database whose bytes are damaged: some flipped, a page overwritten, the end cut off."""
    chance = random.Random(seed)
    for index in range(count):
        broken = bytearray(content)
        pages = len(content) // 4096
        match index % 4:
            case 0:
                for _ in range(chance.randint(1, 30)):
                    broken[chance.randrange(100, len(broken))] ^= 1 << chance.randrange(8)
            case 1:
                page = chance.randrange(1, pages)
                broken[page * 4096 : (page + 1) * 4096] = chance.randbytes(4096)
            case 2:
                page, other = chance.randrange(1, pages), chance.randrange(1, pages)
                broken[page * 4096 : (page + 1) * 4096] = content[other * 4096 : (other + 1) * 4096]
            case _:
                del broken[chance.randrange(512, len(broken)) :]
        yield bytes(broken)
