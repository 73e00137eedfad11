"""A drawing as a picture, made by kaleido, which drives the Chromium or Chrome that is installed."""

from importlib.util import find_spec
from typing import Final, Literal, TypeAlias

import plotly.graph_objects as go

from hpsearch.errors import HpsearchError

ImageFormat: TypeAlias = Literal["png", "svg"]

WIDTH_PX: Final = 900
PNG_SCALE: Final = 2
"""Pixels of a PNG per pixel of the drawing: sharp on today's screens, and on paper."""

LONGEST_S: Final = 90


def image_of(figure: go.Figure, form: ImageFormat) -> bytes:
    """Return the picture of a drawing on light paper. Nothing is loaded from a network.

    Raises HpsearchError where kaleido or the browser is missing, or where the browser fails.
    """
    if find_spec("kaleido") is None:
        raise HpsearchError(
            f'--format {form}: needs kaleido, which is not installed: pip install "hpsearch[images]", '
            "or write json or html"
        )
    import kaleido  # noqa: PLC0415 # an extra, and slow to import
    from kaleido.errors import BrowserClosedError, BrowserFailedError, ChromeNotFoundError  # noqa: PLC0415

    settings = {
        "format": form,
        "width": WIDTH_PX,
        "height": figure.layout.height,
        "scale": PNG_SCALE if form == "png" else 1,
    }
    # MathJax would come from its makers' server.
    options = {"mathjax": False, "timeout": LONGEST_S}
    try:
        picture: bytes = kaleido.calc_fig_sync(figure.to_plotly_json(), opts=settings, kopts=options)
    except ChromeNotFoundError as error:
        raise HpsearchError(
            f"--format {form}: needs Chromium or Chrome (got none in PATH, and none in BROWSER_PATH): install it "
            "(apt-get install chromium), set BROWSER_PATH to its program, or write json or html"
        ) from error
    except (BrowserClosedError, BrowserFailedError, TimeoutError) as error:
        raise HpsearchError(
            f"--format {form}: the browser must draw it (got {type(error).__name__}): set BROWSER_PATH to another "
            "Chromium, or write json or html"
        ) from error
    return picture
