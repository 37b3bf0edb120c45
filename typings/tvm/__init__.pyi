"""The part of Apache TVM 0.27 that bayespress uses; the package has no types of its own."""

from tvm_ffi import get_global_func as get_global_func

from . import ir as ir
from . import relax as relax
from . import rpc as rpc
from . import runtime as runtime
from . import s_tir as s_tir
from . import script as script
from . import target as target
from . import te as te
from . import tirx as tirx
from . import topi as topi
from .ir import IRModule as IRModule
from .ir import transform as transform
