"""What `report --publish` leaves behind, as a browser sees it on a stock server of Optuna's dashboard."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna_dashboard
import waitress
from optuna.storages import RDBStorage
from playwright.sync_api import Browser

from hpsearch.dashboard.publishing import publish
from hpsearch.storage.store import open_store
from hpsearch.workflows.snapshot import take_snapshot
from tests.dashboard.populate import populate
from tests.end_to_end.browser import sight
from tests.report import synthetic


@contextmanager
def stock_server(url: str) -> Iterator[str]:
    """Serve Optuna's dashboard as it comes, on Optuna's own storage, and give its address."""
    storage = RDBStorage(url)
    server = waitress.create_server(optuna_dashboard.wsgi(storage), host="127.0.0.1", port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.close()
        thread.join()
        storage.remove_session()
        storage.engine.dispose()


def test_a_stock_server_draws_what_is_published(browser: Browser, tmp_path: Path) -> None:
    """Our figures are drawn on the study's page, and the notes of study and trial are rendered from Markdown."""
    url = f"sqlite:///{tmp_path}/studies.db"
    with open_store(url) as store:
        publish(url, take_snapshot(store, populate(store, synthetic.synthetic(60))))
    with stock_server(url) as address, sight(browser) as seen:
        page = seen.open(f"{address}/dashboard/studies/1")
        for name in ("search-map", "learning-rates", "learning-curves-metric"):
            drawn = page.locator(f'[id="user-defined-plot:hpsearch-{name}"] .scatterlayer path')
            drawn.first.wait_for(state="attached")
        seen.open(f"{address}/dashboard/studies/1/note")
        page.get_by_text("Running: 51 of 61 trials finished, 3 in training.").wait_for()
        assert page.get_by_text("[hpsearch]").count() == 0
        seen.open(f"{address}/dashboard/studies/1/trials?numbers=0")
        page.get_by_text("Confidence").first.wait_for()
        assert page.get_by_text("[hpsearch]").count() == 0
        assert (seen.errors, seen.outside(address)) == ([], [])
