from collections.abc import Mapping, Sequence
from types import TracebackType

from tvm_ffi import Object

from . import IRModule

class PassContext(Object):
    def __init__(
        self,
        opt_level: int = 2,
        required_pass: Sequence[str] | None = None,
        disabled_pass: Sequence[str] | None = None,
        instruments: Sequence[object] | None = None,
        config: Mapping[str, object] | None = None,
    ) -> None: ...
    def __enter__(self) -> PassContext: ...
    def __exit__(
        self, ptype: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...

class Pass(Object):
    def __call__(self, mod: IRModule) -> IRModule: ...

class ModulePass(Pass): ...
