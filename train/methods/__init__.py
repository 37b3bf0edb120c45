"""The methods by name. A method is a frozen settings class whose `layer` makes the variational twin of a layer."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Protocol

from torch import Tensor

from ...errors import InputError
from ..layers import VariationalLayer
from ..operation import Operation
from .sparse_vd import SparseVD


class Method(Protocol):
    """What `bayesianize` needs of a method."""

    def layer(self, operation: Operation, weight: Tensor, bias: Tensor | None) -> VariationalLayer:
        """The variational twin of a layer with this operation, weight (out, in / groups, ...) and bias (out,)."""
        ...


METHODS: dict[str, type[Method]] = {"sparse-vd": SparseVD}


def method_named(name: str, **options: Any) -> Method:
    """The method of this name with these settings. Raises InputError for a name or a setting it does not know."""
    if name not in METHODS:
        raise InputError(f"There is no method {name!r}; the methods are {', '.join(sorted(METHODS))}.")
    known = {field.name for field in fields(METHODS[name])}  # type: ignore[arg-type]
    for option in options:
        if option not in known:
            raise InputError(f"Method {name} has no setting {option!r}; it has {', '.join(sorted(known))}.")
    return METHODS[name](**options)
