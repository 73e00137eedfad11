"""Preparation of the pages of the first visitor: large studies take seconds to read and to draw."""

import io
import logging
import threading
from typing import Final
from urllib.parse import unquote
from wsgiref.types import WSGIApplication, WSGIEnvironment

from hpsearch.dashboard.annotations import hear
from hpsearch.dashboard.links import report_link
from hpsearch.errors import HpsearchError
from hpsearch.storage.store import Store

_log: Final = logging.getLogger(__name__)


def warm_in_background(site: WSGIApplication, store: Store) -> threading.Thread:
    """Start a thread that requests the newest study and its report, bypassing the guards; return the thread."""
    thread = threading.Thread(target=_warm, args=(site, store), name="hpsearch-warming", daemon=True)
    thread.start()
    return thread


def _warm(site: WSGIApplication, store: Store) -> None:
    try:
        for study in store.studies.all()[-1:]:
            hear(site, _request(f"/api/studies/{study.study_id}"))
            hear(site, _request(unquote(report_link(study.spec.name))))
    except HpsearchError as error:  # visitors will get the same error as an answer
        _log.info("nothing could be prepared: %s", error)
    except Exception:  # noqa: BLE001 # an error in preparation must not end the server, and is not hidden
        _log.exception("nothing could be prepared")


def _request(path: str) -> WSGIEnvironment:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "0",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
    }
