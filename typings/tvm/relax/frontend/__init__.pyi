from ...ir import IRModule
from ...runtime import Tensor

def detach_params(mod: IRModule) -> tuple[IRModule, dict[str, list[Tensor]]]: ...
