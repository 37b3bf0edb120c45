"""The table of operators that are taken, and how a rule enters it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Rule = TypeVar("Rule", bound=Callable[..., Any])


@dataclass(frozen=True)
class Operator:
    """An operator of ATen that is taken.

    name       with its overload, as in "select.int"
    group      heading in docs/OPERATORS.md
    form       what it becomes
    condition  under which it is taken; empty for always
    half       whether it is exact in float16 and bfloat16 when computed in float32 and rounded afterwards
    rule       makes the normal form: called with the Rewriter and the operator's own arguments
    """

    name: str
    group: str
    form: str
    condition: str
    half: bool
    rule: Callable[..., Any]


TABLE: dict[str, Operator] = {}


def takes(*names: str, group: str, form: str, condition: str = "", half: bool = False) -> Callable[[Rule], Rule]:
    """Enter the decorated rule under these names."""

    def enter(rule: Rule) -> Rule:
        for name in names:
            if name in TABLE:
                raise ValueError(f"{name} has two rules")
            TABLE[name] = Operator(name, group, form, condition, half, rule)
        return rule

    return enter
