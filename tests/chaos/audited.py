"""`hpsearch` on SQLite with a name on each of its connections: `python -m tests.chaos.audited worker start ...`.

A server stores the names of its clients. SQLite has no server, so the triggers of `audit` ask a function on the
connection.
"""

import os

from tests.chaos.audit import named_connections

if __name__ == "__main__":
    with named_connections(os.environ["PGAPPNAME"]):
        from hpsearch.cli.main import run

        run()
