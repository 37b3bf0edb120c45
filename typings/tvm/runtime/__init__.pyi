import numpy as np
import numpy.typing as npt
import tvm_ffi
from tvm_ffi import Device

from .module import Module as Module

class Tensor(tvm_ffi.Tensor):
    def numpy(self) -> npt.NDArray[np.generic]: ...

def tensor(arr: npt.ArrayLike | Tensor, device: Device | None = None, mem_scope: str | None = None) -> Tensor: ...
