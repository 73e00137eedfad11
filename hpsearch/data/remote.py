"""Data at a URL: `https://`, `s3://`, `gs://` and every other protocol of fsspec, cached on this machine.

A cached copy is used as long as its server names the same version of the content (`ETag`, time of change, or a hash),
or cannot be reached. A server that names none is asked for the content again. Whether a worker may train on the result
depends on the study's fingerprint alone.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from hpsearch.data.cache import CachedUrl, DataCache, data_cache
from hpsearch.errors import DataError
from hpsearch.installation import install_command
from hpsearch.study.schema import PATH_SUFFIXES, TEXT_SUFFIXES

_T = TypeVar("_T")

_EXTRAS: Final = {"http": "remote", "https": "remote", "s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
"""The extra that a protocol needs. Others need the package that fsspec names."""

_VALIDATORS: Final = (
    *("ETag", "etag", "Last-Modified", "LastModified", "Content-MD5", "Digest"),
    *("mtime", "updated", "created", "md5Hash", "generation", "content_md5", "last_modified"),
)
"""Fields of fsspec's file systems that change with the content."""

_CHUNK_BYTES: Final = 2**20
_CONNECT_WITHIN_S: Final = 10
_ANSWER_WITHIN_S: Final = 60


def is_remote(source: str) -> bool:
    """Return True for a URL."""
    scheme, separator, _ = source.partition("://")
    return bool(separator) and scheme.isalnum()


def shown_url(url: str) -> str:
    """Return a URL for messages, without its query, which may hold a signature."""
    return urlunsplit(urlsplit(url)._replace(query="", fragment=""))


def cached_copy(url: str, environment: Mapping[str, str]) -> Path:
    """Return the path of this machine's copy of the file at `url`, downloaded if needed.

    Raises DataError if there is no such file, it may not be read, or neither it nor a copy can be reached.
    """
    name = _file_name(url)
    cache = data_cache(environment)
    known = cache.url(url)
    files, path = _file_system(url)
    try:
        validators = _call(url, lambda: _validators(files.info(path)))
        if known is not None and validators and validators == known.validators:
            return _path(cache, known)
        found = _download(cache, url, name, lambda: files.open(path, "rb"), validators)
    except _UnreachableError as error:
        if known is None:
            raise DataError(
                f'data.source: must be reachable, or have been downloaded before (got "{error}" for {shown_url(url)}):'
                " connect to the network, or name a local file"
            ) from error
        found = known
    return _path(cache, found)


def _path(cache: DataCache, found: CachedUrl) -> Path:
    return cache.folder / "items" / found.digest / found.name


def _file_name(url: str) -> str:
    """Return the name of the file at a URL. Raises DataError for a password, and for a file of an unknown format."""
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise DataError(
            "data.source: must hold no password, which every reader of the study would see"
            f" (got one for {parts.hostname}): leave it out, and set it for the protocol, as in ~/.netrc"
        )
    name = unquote(PurePosixPath(parts.path).name)
    if not name.lower().endswith(PATH_SUFFIXES) or "\0" in name or os.sep in name:
        suffixes = f"{', '.join(TEXT_SUFFIXES)} (these also with .gz), .parquet or .npz"
        raise DataError(
            f'data.source: the path of a URL must end in {suffixes} (got "{shown_url(url)}"): name such a file'
        )
    return name


def _file_system(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path there. Raises DataError if a package is missing."""
    scheme = url.partition("://")[0].lower()
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - an extra

        options = _http_options() if scheme in ("http", "https") else {}
        files, path = url_to_fs(url, use_listings_cache=False, **options)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        remedy = install_command(extra) if extra else f"{error}"
        raise DataError(
            f"data.source: {scheme}:// needs a package that is not installed: {remedy}"
        ) from error
    except ValueError as error:
        raise DataError(
            f'data.source: must be a built-in name, a path or a URL of a known protocol (got "{shown_url(url)}"):'
            " write https://, s3:// or gs://"
        ) from error
    return files, path


def _http_options() -> dict[str, Any]:
    from aiohttp import ClientTimeout  # noqa: PLC0415 - an extra

    timeout = ClientTimeout(total=None, sock_connect=_CONNECT_WITHIN_S, sock_read=_ANSWER_WITHIN_S)
    return {"client_kwargs": {"timeout": timeout, "trust_env": True}}  # proxies and ~/.netrc


def _validators(info: Mapping[str, Any]) -> dict[str, str]:
    found = {key: str(info[key]) for key in _VALIDATORS if info.get(key)}
    return {**found, "size": str(info.get("size"))} if found else {}


def _download(
    cache: DataCache, url: str, name: str, opened: Callable[[], Any], validators: Mapping[str, str]
) -> CachedUrl:
    with cache.new_item() as item:

        def fill(take: Callable[[bytes], object]) -> None:
            with _call(url, opened) as file:
                while content := _call(url, lambda: file.read(_CHUNK_BYTES)):
                    take(content)

        digest = item.write(name, fill)
        item.keep(digest)
        found = CachedUrl(digest=digest, name=name, validators=validators)
        cache.keep_url(url, found)
    return found


class _UnreachableError(Exception):
    """No server answered, or one that has a fault."""


def _call(url: str, work: Callable[[], _T]) -> _T:
    """Return the result of `work`. Raises DataError for a missing or forbidden file, else `_UnreachableError`."""
    try:
        return work()
    except Exception as error:  # each protocol has a library with errors of its own
        # fsspec raises FileNotFoundError for whatever went wrong over HTTP.
        cause = error.__cause__ or error
        status = getattr(cause, "status", None)
        if isinstance(cause, PermissionError) or status in (401, 403) or type(cause).__name__ in _NO_LOGIN:
            raise DataError(
                f'data.source: must be permitted to be read (got "{shown_url(url)}", refused): log in with the tool of'
                " the protocol, such as `aws configure`, or make the file public"
            ) from error
        if isinstance(cause, FileNotFoundError) or status in (404, 410):
            raise DataError(
                f'data.source: the file must exist (got "{shown_url(url)}", not found there): correct the URL'
            ) from error
        raise _UnreachableError(f"{cause}") from error


_NO_LOGIN: Final = ("NoCredentialsError", "RefreshError", "DefaultCredentialsError")
"""Errors of botocore and google-auth, which are not imported here."""
