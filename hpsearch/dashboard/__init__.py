"""Optuna's dashboard with our pages: guards check each request, and patches complete the responses of Optuna's part.

A request passes `connections` (limits before its body is read), `guards` (headers, host, token, origin, read-only,
size) and `application`, which selects a page of ours by its path: `pages` fill `templates` with data of `live`. All
other paths go to Optuna's dashboard, after `request_checks` and with `patches`. `server` is the process.
"""
