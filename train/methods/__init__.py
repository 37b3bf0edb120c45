"""The methods by name."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from ...errors import InputError, unknown_name, user_code
from ...plugins import imported, is_plugin_name
from .base import Method, NetworkPrior
from .bayes_by_backprop import BayesByBackprop
from .deep_compression import DeepCompression
from .dynamic_network_surgery import DynamicNetworkSurgery
from .group_horseshoe import GroupHorseshoe
from .group_normal_jeffreys import GroupNormalJeffreys
from .mc_dropout import MCDropout
from .soft_weight_sharing import SoftWeightSharing
from .sparse_vd import SparseVD

__all__ = ["METHODS", "Method", "NetworkPrior", "method_named"]

METHODS: dict[str, type[Method]] = {
    "bayes-by-backprop": BayesByBackprop,
    "deep-compression": DeepCompression,
    "dynamic-network-surgery": DynamicNetworkSurgery,
    "group-horseshoe": GroupHorseshoe,
    "group-normal-jeffreys": GroupNormalJeffreys,
    "mc-dropout": MCDropout,
    "soft-weight-sharing": SoftWeightSharing,
    "sparse-vd": SparseVD,
}


def method_named(name: str, **options: Any) -> Method:
    """The method of this name, or of module:Class, with these settings.

    Raises InputError for an unknown name or setting, and for a class that is not a Method.
    """
    kind = _class_named(name)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    types = get_type_hints(kind)
    for option, value in options.items():
        if option not in known:
            raise unknown_name(f"setting of {name}", option, sorted(known))
        if isinstance(value, list):  # as JSON and TOML have tuples
            options[option] = tuple(value)
        try:
            TypeAdapter(types[option], config=ConfigDict(strict=True, allow_inf_nan=False)).validate_python(
                options[option]
            )
        except ValidationError as error:
            raise InputError(
                f"Setting {option} of method {name} is {value!r} ({error.errors()[0]['msg']}); give "
                f"{known[option].type}, like {known[option].default!r}."
            ) from None
    try:
        with user_code(f"the method {name}"):
            return kind(**options)
    except TypeError as error:
        raise InputError(f"Method {name} cannot be had with {options}: {error}.") from error


def _class_named(name: str) -> type[Method]:
    if name in METHODS:
        return METHODS[name]
    if not is_plugin_name(name):
        raise unknown_name("method", name, sorted(METHODS), "your own as module:Class")
    kind: Any = imported(name, "Method")
    extends_method = isinstance(kind, type) and issubclass(kind, Method)
    if not extends_method or not hasattr(kind, "__dataclass_fields__"):
        raise InputError(
            f"Method {name} is a {type(kind).__name__}, and a method is a frozen dataclass that extends "
            "bayespress.train.methods.Method; make it one."
        )
    found: type[Method] = kind
    return found
