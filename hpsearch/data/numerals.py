"""Numbers as people write them: a decimal comma, thousands separators, currencies and percent."""

import re
from decimal import Decimal
from typing import Final

MISSING: Final = frozenset(
    {
        *("", "na", "n/a", "nan", "null", "?"),
        *("#n/a", "#na", "<na>", "#n/a n/a", "-nan", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
    }
)
"""Marks for a missing value, in lower case: those of pandas.read_csv, and the question mark of the UCI repository."""

_SPACES: Final = "\u0020\u00a0\u2009\u202f"
_CURRENCY: Final = (
    r"(?:(?:US|A|C|HK|NZ|R|S)?\$|[€£¥₹₽₺₩₪₴]|USD|EUR|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK"
    r"|PLN|CZK|HUF|kr\.?|zł|Kč|Ft|Rs\.?)"
)
_GROUPED: Final = rf"\d{{1,3}}(?:[.,'\u2019_{_SPACES}]\d{{2,3}})*[.,'\u2019_{_SPACES}]\d{{3}}"
"""Digits in thousands, or in the hundreds of India: `1,000`, `1.000.000`, `1 000`, `1_000`, `1,00,000`."""

_THOUSANDS: Final = {"k": 3, "K": 3, "M": 6, "Mio": 6, "Mio.": 6, "bn": 9, "Mrd.": 9}
_UNIT: Final = "|".join(map(re.escape, sorted(_THOUSANDS, key=len, reverse=True)))

_LOCAL: Final = re.compile(
    rf"\(?[+\-\u2212]?\s*{_CURRENCY}?\s*[+\-\u2212]?(?:{_GROUPED}(?:[.,]\d+)?|\d*[.,]\d+|\d+(?:_\d+)*)(?:[eE][+-]?\d+)?"
    rf"\s*(?:{_UNIT})?\s*(?:{_CURRENCY}|%)?\)?"
)
_DECIMAL_COMMA: Final = re.compile(
    rf"[+-]?(?:\d{{1,3}}(?:[.'\u2019{_SPACES}]\d{{3}})+|\d*),\d+(?:[eE][+-]?\d+)?"
)
_THOUSANDS_DOTS: Final = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+")
_THOUSANDS_COMMAS: Final = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")


def is_number(cell: str) -> bool:
    """Return True for a number as Python writes it: `1`, `-2.5`, `1e-3`, `nan`, but not `1_000`."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def is_missing(cell: str) -> bool:
    """Return True for a mark of a missing value."""
    return cell.strip().lower() in MISSING


def is_local_number(cell: str) -> bool:
    """Return True for a number that Python does not read: `0,5`, `$200,000`, `12%`, `1 000`, `1_000`."""
    return not is_number(cell) and _LOCAL.fullmatch(cell.strip()) is not None


def has_decimal_comma(cell: str) -> bool:
    """Return True for a number with a decimal comma: `0,5`, `1.234,56`, but not `1,234`, which may be in thousands."""
    text = cell.strip()
    return _DECIMAL_COMMA.fullmatch(text) is not None and not _THOUSANDS_COMMAS.fullmatch(text)


def is_ambiguous(cell: str) -> bool:
    """Return True for a number such as `1.234`, which is 1234 in a table with decimal commas, or 1.234."""
    text = cell.strip()
    return (
        text.count(".") == 1 and text.lstrip("+-")[:1] != "0" and _THOUSANDS_DOTS.fullmatch(text) is not None
    )


def decimal_comma_number(cell: str) -> float:
    """Return the number of a cell in a table with decimal commas. Raises ValueError if it is none."""
    text = cell.strip()
    if "_" in text:
        raise ValueError(text)
    if _DECIMAL_COMMA.fullmatch(text) or (text.count(".") > 1 and _THOUSANDS_DOTS.fullmatch(text)):
        return float(re.sub(rf"[.'\u2019{_SPACES}]", "", text).replace(",", "."))
    return float(text)


def plain(cell: str) -> str:
    """Return a local number as Python writes it: `0.5`, `200000`, `12`, `1000`; `(3)` of accountants is `-3`."""
    unit = re.search(rf"(?<=[\d\s])({_UNIT})(?=\s*(?:{_CURRENCY}|%)?\)?$)", cell.strip())
    if unit is not None:
        number = plain(cell.strip()[: unit.start()] + cell.strip()[unit.end() :])
        return f"{Decimal(number).scaleb(_THOUSANDS[unit[1]]):f}"
    if cell.strip().startswith("(") and cell.strip().endswith(")"):
        return f"-{plain(cell.strip()[1:-1])}"
    text = re.sub(rf"{_CURRENCY}|[%'\u2019_{_SPACES}]", "", cell.strip()).replace("\u2212", "-")
    if "," in text and "." in text:
        decimal = max(text.rfind(","), text.rfind("."))
        return re.sub(r"[.,]", "", text[:decimal]) + "." + text[decimal + 1 :]
    if _THOUSANDS_COMMAS.fullmatch(text) or text.count(",") > 1:
        return text.replace(",", "")
    if text.count(".") > 1:
        return text.replace(".", "")
    return text.replace(",", ".")
