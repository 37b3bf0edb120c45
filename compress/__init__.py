"""Compress a network by its posterior: prune weights, remove units, choose a precision for each tensor, encode.

The attribute `bayespress.compress` is a function (see api.py). Import from this package with
`from bayespress.compress import ...`.
"""
