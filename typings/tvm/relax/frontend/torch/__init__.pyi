from collections.abc import Callable

from torch import fx
from torch.export import ExportedProgram

from ....ir import Expr, IRModule
from .base_fx_graph_translator import BaseFXGraphImporter

def from_exported_program(
    exported_program: ExportedProgram,
    *,
    keep_params_as_input: bool = False,
    unwrap_unit_return_tuple: bool = False,
    no_bind_return_tuple: bool = False,
    custom_convert_map: dict[str, Callable[[fx.Node, BaseFXGraphImporter], Expr]] | None = None,
    run_ep_decomposition: bool = True,
) -> IRModule: ...
