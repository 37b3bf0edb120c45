from types import TracebackType
from typing import Self

from tvm_ffi import Object

from ...tirx import PrimFunc

class IRBuilder(Object):
    def __init__(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, ptype: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    # What was built: a PrimFunc where the outermost frame was T.prim_func.
    def get(self) -> PrimFunc: ...
