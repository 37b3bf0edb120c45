"""How a rule says that it cannot express an operator."""

from __future__ import annotations


class RefusedError(Exception):
    """An operator cannot be brought into the normal form.

    The message completes the sentence "X in MODULE ...", for instance "computes in complex64". It is caught by the
    walk over the program, which knows the operator's name and place.
    """
