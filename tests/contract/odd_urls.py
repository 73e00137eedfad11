"""URLs of databases that a user may type: wrong in one or two places, from tables and a seed."""

import random
from collections.abc import Iterator
from typing import Final

PASSWORD: Final = "s3cret-w0rd"

VALUES: Final = (
    "0",
    "-1",
    "1",
    "soon",
    "",
    "99999999999999999999",
    "true",
    "/dev/full",
    "é",
    "%00",
    "1e3",
    "{}",
)
"""Values for options of any type."""

NAMES: Final = {
    "postgresql+psycopg": (
        "application_name autocommit channel_binding client_encoding connect_timeout context cursor_factory dbname "
        "fallback_application_name gssencmode host hostaddr keepalives keepalives_idle load_balance_hosts options "
        "passfile port prepare_threshold read_timeout require_auth row_factory service sslcert sslkey sslmode "
        "sslrootcert target_session_attrs tcp_user_timeout user bogus prepare_treshold"
    ),
    "mysql+pymysql": (
        "auth_plugin_map autocommit binary_prefix bind_address charset client_flag collation compress connect_timeout "
        "conv cursorclass db defer_connect host init_command local_infile max_allowed_packet named_pipe port "
        "program_name read_default_file read_default_group read_timeout server_public_key sql_mode ssl ssl_ca "
        "ssl_cert ssl_check_hostname ssl_cipher ssl_disabled ssl_key ssl_verify_cert unix_socket use_unicode user "
        "write_timeout bogus conect_timeout"
    ),
    "sqlite": (
        "cache cached_statements check_same_thread detect_types immutable isolation_level mode modeof nolock psow "
        "timeout uri vfs bogus timeuot"
    ),
}
"""Driver -> the names of its options, and some that it does not have."""

PORTS: Final = ("0", "-1", "65536", "99999", "99999999999999999999", "abc", "", "1.5", "08080808")

HOSTS: Final = (
    "",
    "[::1]",
    "[::1",
    "::1",
    "[fe80::1%25eth9]",
    "256.1.1.1",
    "a" * 300,
    "h%00st",
    "\udc80",
    "é.invalid",
)

PATHS: Final = (
    "",
    "/",
    "/dev/full",
    "/dev/null",
    "/dev/zero",
    "/proc/self/mem",
    "/proc/version",
    "/nowhere/x.db",
    "{tmp}",
    "{tmp}/",
    "{tmp}/x\0y.db",
    "{tmp}/x%00y.db",
    "{tmp}/\udc80.db",
    "{tmp}/" + "x" * 300,
    "{tmp}/a/../../b.db",
    "{tmp}/x.db?mode=ro",
    "{tmp}/text.db",
    "{tmp}/text.db/x.db",
    "file:{tmp}/x.db",
    "file:{tmp}/x.db?mode=rw&uri=true",
    "file:{tmp}/x.db?mode=ro&uri=true",
    "file:{tmp}/x.db?mode=memory&uri=true",
    "file:{tmp}/x.db?mode=bogus&uri=true",
    "file:{tmp}/x.db?vfs=bogus&uri=true",
    "file:{tmp}/x.db?cache=bogus&uri=true",
    "file:%00?uri=true",
    "file://host/x.db?uri=true",
    ":memory:?uri=true",
)
"""Files that do not exist, cannot be opened, or are not databases."""

SCHEMES: Final = (
    "",
    "sqlite",
    "sqlite:",
    "sqlite:/",
    "sqlite+aiosqlite:///x.db",
    "sqlite+pysqlcipher://:{password}@/x.db",
    "postgres://u:{password}@127.0.0.1/x",
    "postgresql+psycopg2://u:{password}@127.0.0.1:9/x",
    "postgresql+asyncpg://u:{password}@127.0.0.1:9/x",
    "postgresql+psycopg_async://u:{password}@127.0.0.1:9/x",
    "postgresql://",
    "postgresql:///",
    "postgresql://u:{password}@",
    "mysql+mysqldb://u:{password}@127.0.0.1:9/x",
    "mysql+aiomysql://u:{password}@127.0.0.1:9/x",
    "mysql://u:{password}@127.0.0.1:9",
    "mariadb+mariadbconnector://u:{password}@127.0.0.1:9/x",
    "MYSQL://u:{password}@127.0.0.1:9/x",
    "mysql://u:{password}@127.0.0.1:9/x?charset=utf8&charset=latin1",
    "postgresql://u:{password}@127.0.0.1:9/x?sslmode=require&sslmode=disable",
    "postgresql://u:{password}@/x?host=127.0.0.1:9&host=127.0.0.1:10",
    "postgresql://u:{password}@/x?host=/dev/full",
    "postgresql://u:{password}@127.0.0.1:9/x?password={password}",
    "mssql+pyodbc://u:{password}@h/x",
    "journal://x.log",
    "redis://h",
    "http://u:{password}@h/x",
    "//u:{password}@h/x",
    "\0",
    "sqlite:///{tmp}/x.db\n",
    "postgresql://u:{password}@127.0.0.1:9/\udc80",
    "mysql://\udc80:{password}@127.0.0.1:9/x",
)


def odd_urls(*, seed: int, doubles: int) -> Iterator[str]:
    """Yield URLs with places for `{tmp}`, a folder, and `{password}`: each oddity alone, then `doubles` of two."""
    servers = {
        "postgresql+psycopg": "postgresql+psycopg://u:{password}@%s:%s/x",
        "mysql+pymysql": "mysql+pymysql://u:{password}@%s:%s/x",
    }
    yield from SCHEMES
    for path in PATHS:
        yield f"sqlite:///{path}"
    for server in servers.values():
        yield from (server % ("127.0.0.1", port) for port in PORTS)
        yield from (server % (host, "9") for host in HOSTS)
    bases = {name: server % ("127.0.0.1", "9") for name, server in servers.items()}
    bases["sqlite"] = "sqlite:///{tmp}/x.db"
    chance = random.Random(seed)
    for driver, names in NAMES.items():
        for name in names.split():
            yield f"{bases[driver]}?{name}={chance.choice(VALUES)}"
    for _ in range(doubles):
        driver = chance.choice(list(NAMES))
        one, two = chance.sample(NAMES[driver].split(), 2)
        yield f"{bases[driver]}?{one}={chance.choice(VALUES)}&{two}={chance.choice(VALUES)}"
