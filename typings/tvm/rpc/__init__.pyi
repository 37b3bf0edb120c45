from collections.abc import Sequence

from tvm_ffi import Device, Function

from ..runtime import Module

class RPCSession:
    def cpu(self, dev_id: int = 0) -> Device: ...
    def get_function(self, name: str) -> Function: ...
    def load_module(self, path: str) -> Module: ...
    def upload(self, data: bytearray | str, target: str | None = None) -> None: ...

class TrackerSession:
    def request(
        self,
        key: str,
        priority: int = 1,
        session_timeout: int = 0,
        max_retry: int = 5,
        session_constructor_args: Sequence[object] | None = None,
    ) -> RPCSession: ...

def connect(
    url: str,
    port: int,
    key: str = "",
    session_timeout: int = 0,
    session_constructor_args: Sequence[object] | None = None,
    enable_logging: bool = False,
) -> RPCSession: ...
def connect_tracker(url: str, port: int) -> TrackerSession: ...
