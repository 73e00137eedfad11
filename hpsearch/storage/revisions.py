"""Alembic on our tables: from whatever revision they are to the newest."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

FOLDER: Final = Path(__file__).parent / "migrations"
"""Where the revisions are. `migrations` says how to write one."""


def scripts(folder: Path = FOLDER) -> Config:
    """Return what Alembic needs to know to find the revisions in `folder`."""
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return config


def upgrade_tables(connection: Connection, *, folder: Path = FOLDER, to: str = "head") -> None:
    """Run the revisions that the tables lack, up to `to`, in the caller's transaction, and stamp the last one.

    Alembic keeps its place in the process, so only one thread at a time may be here. Raises SQLAlchemyError.
    """
    config = scripts(folder)
    config.attributes["connection"] = connection
    command.upgrade(config, to)
