"""A PostgreSQL server of our own: its data in a folder, a free port of 127.0.0.1, under our control."""

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias, final

import psycopg

from tests.chaos.waiting import wait_until

Stop: TypeAlias = Literal["fast", "crash"]
"""How a server ends: in order, its clients' connections cut; or at once, as in a crash."""

_SIGNALS: Final = {"fast": signal.SIGINT, "crash": signal.SIGQUIT}

_USER: Final = "nobody"

_SETTINGS: Final = {
    "unix_socket_directories": "",
    # The machine does not crash, only the server, so nothing needs to reach the disk.
    "fsync": "off",
    "full_page_writes": "off",
    # A crash loses what was committed without waiting for the log, as claims are. This makes it lose more of it.
    "wal_writer_delay": "500ms",
}


def find_program(name: str) -> str | None:
    """Return the path of a program of PostgreSQL's, which Debian keeps out of PATH; None if it is not installed."""
    installed = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = max(installed, key=lambda path: float(path.parts[-3]), default=None)
    return str(newest) if newest is not None else shutil.which(name)


@final
class Cluster:
    """A private server in `folder`. It runs inside its context, and is removed at the end.

    It listens on 127.0.0.1, and on `address` too if one is given. `settings` replace those of tests.
    """

    def __init__(
        self, folder: Path, *, address: str | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        self._folder = folder
        self._address = address
        self._settings = {**_SETTINGS, **(settings or {})}
        self._data = folder / "data"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = itertools.count(1)
        self.port = free_port()

    def __enter__(self) -> Self:
        if os.geteuid() == 0:
            os.chown(self._folder, pwd.getpwnam(_USER).pw_uid, -1)
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        subprocess.run(
            _as_user([_program("initdb"), f"--pgdata={self._data}", *options]),
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        if self._address is not None:
            with (self._data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {self._address}/24 trust\n")
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop("crash")

    def new_database(self, *, like: str = "template1") -> str:
        """Create a copy of another database, which must have no connections; return its name."""
        name = f"chaos_{next(self._databases)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {like}")
        return name

    def url(self, database: str, *, port: int | None = None) -> str:
        """Return the URL of a database, which may be reached through another port than ours."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        """Start the server, and return when it answers."""
        listens = ",".join(filter(None, ["127.0.0.1", self._address]))
        chosen = {**self._settings, "listen_addresses": listens}
        settings = [argument for name, value in chosen.items() for argument in ("-c", f"{name}={value}")]
        command = [_program("postgres"), "-D", str(self._data), "-p", str(self.port), *settings]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                _as_user(command), cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(self._answers, f"PostgreSQL in {self._folder}")

    @property
    def process_id(self) -> int:
        """The number of the server's main process."""
        assert self._process is not None
        return self._process.pid

    def stop(self, how: Stop) -> None:
        """Stop the server, and return when it has ended."""
        if self._process is not None:
            self._process.send_signal(_SIGNALS[how])
            self._process.wait(60)
            self._process = None

    def terminate_connections(self) -> int:
        """Let the server end all connections of workers; return how many."""
        ended = self._run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE backend_type = 'client backend' AND application_name <> ''"
        )
        return len(ended)

    def cancel_statements(self) -> int:
        """Let the server cancel the statements that workers run at this moment; return how many."""
        return len(
            self._run(
                "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND application_name <> '' AND state = 'active'"
            )
        )

    def set_read_only(self, is_read_only: bool) -> None:  # noqa: FBT001 # the state is the call
        """Let new transactions of all sessions refuse to write, or take writes again; end those under way."""
        value = "on" if is_read_only else "off"
        self._run(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        self._run("SELECT pg_reload_conf()")
        self.terminate_connections()

    def keep_state(self) -> Path:
        """Return a copy of all data of the server, which must not run."""
        copy = self._folder / "kept"
        shutil.rmtree(copy, ignore_errors=True)
        _copy(self._data, copy)
        return copy

    def restore_state(self, copy: Path) -> None:
        """Restore the data of `copy`. The server must not run."""
        shutil.rmtree(self._data)
        _copy(copy, self._data)

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise AssertionError(f"PostgreSQL did not start:\n{self._log.read_text()[-2000:]}")
        try:
            self._run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, statement: str) -> Sequence[tuple[object, ...]]:
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname="postgres", autocommit=True
        ) as connection:
            answer = connection.execute(statement.encode())
            return answer.fetchall() if answer.description else []


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _copy(source: Path, target: Path) -> None:
    """Copy a folder with its files' owners, which PostgreSQL insists on."""
    subprocess.run(["cp", "--archive", str(source), str(target)], check=True)


def _program(name: str) -> str:
    path = find_program(name)
    assert path is not None, f"{name} is not installed"
    return path


def _as_user(command: Sequence[str]) -> list[str]:
    """Return the command such that it ends with us, and never runs as root, which PostgreSQL refuses to do."""
    if shutil.which("setpriv") is None:
        return list(command)
    if os.geteuid() != 0:
        return ["setpriv", "--pdeathsig", "QUIT", *command]
    group = str(pwd.getpwnam(_USER).pw_gid)
    return [
        "setpriv",
        f"--reuid={_USER}",
        f"--regid={group}",
        "--clear-groups",
        "--pdeathsig",
        "QUIT",
        *command,
    ]
