from types import TracebackType

from tvm_ffi import Object

class IRBuilderFrame(Object):
    def __enter__(self) -> object: ...
    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, trace: TracebackType | None
    ) -> None: ...
