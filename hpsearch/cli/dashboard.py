"""`hpsearch dashboard`: Optuna's dashboard with our pages added."""

import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import typer

from hpsearch.cli.options import Storage
from hpsearch.cli.output import write_line, write_message
from hpsearch.workflows.default_storage import DEFAULT_STORAGE

EXTRA: Final = ("optuna_dashboard", "prometheus_client", "waitress", "werkzeug")
"""The packages that the extra `dashboard` installs."""


def dashboard(
    *,
    host: Annotated[
        str,
        typer.Option("--host", metavar="ADDRESS", help="The address to listen on; 0.0.0.0 listens on all."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="0 selects a free port.")
    ] = 8080,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="T",
            envvar="HPSEARCH_TOKEN",
            help="The token that requests must have. Prefer the variable: other users can see command lines.",
        ),
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse every change.")] = False,
    threads: Annotated[
        int,
        typer.Option(
            "--threads", metavar="N", min=1, max=256, help="Number of requests served at the same time."
        ),
    ] = 8,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", metavar="NAME", help="Another host name of this server, such as a proxy's."
        ),
    ] = None,
    artifacts: Annotated[
        Path | None, typer.Option("--artifacts", metavar="FOLDER", help="The folder of Optuna's artifacts.")
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Serve pages that show and operate studies, trials and workers, Optuna's dashboard, and metrics.

    It listens on localhost only. To bind another address with --host, set a token, and open the address once with
    ?token=TOKEN after it. Ctrl-C ends it.

    Example: hpsearch dashboard --port 8080
    """
    check_extra()
    from hpsearch.dashboard.server import Options, serve

    chosen = Options(
        url=storage,
        host=host,
        port=port,
        token=token or None,
        read_only=read_only,
        threads=threads,
        allowed_hosts=tuple(allow_host or ()),
        artifacts=artifacts,
    )
    raise typer.Exit(serve(chosen, _write_address))


def check_extra(what: str = "dashboard") -> None:
    """Raise HpsearchError, with the remedy, if packages of the dashboard are not installed."""
    from hpsearch.errors import HpsearchError
    from hpsearch.installation import install_command

    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise HpsearchError(
            f"{what}: needs {' and '.join(missing)} (not installed): {install_command('dashboard')}"
        )


def dashboard_command(url: str) -> str:
    """Return the command that serves the dashboard, and how to install it if it is missing.

    A password in the URL is masked.
    """
    from hpsearch.errors import mask
    from hpsearch.installation import install_command
    from hpsearch.storage.address import parse_address

    address = parse_address(url)
    shown = address.shown if address.path else mask(address.url.render_as_string(hide_password=True))
    command = f"hpsearch dashboard --storage {shlex.quote(shown)}"
    is_missing = any(find_spec(name) is None for name in EXTRA)
    return f"{command} (install it first: {install_command('dashboard')})" if is_missing else command


def _write_address(address: str) -> None:
    """Write the dashboard's address to stdout for programs, and further lines for people."""
    write_line(address, at_once=True)  # programs read it from a pipe
    write_message(f"Studies: {address}studies/. Ctrl-C ends the dashboard.")
