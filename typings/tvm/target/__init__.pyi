from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tvm_ffi import Object

from . import codegen as codegen

class Target(Object):
    def __init__(self, target: str | Mapping[str, object] | Target, host: str | Target | None = None) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, ptype: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...
