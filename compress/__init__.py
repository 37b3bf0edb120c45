"""A posterior in, levels and codebooks out: prune, shrink, pick precisions, encode.

`bayespress.compress` is the function of the same name (see api.py); this package is reached by
`from bayespress.compress import ...`.
"""
