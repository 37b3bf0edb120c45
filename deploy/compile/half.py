"""Products in half precision: operands of convolutions and matrix products in float16, sums in float32.

On a phone this halves the memory traffic for weights, and many GPUs compute twice as many float16 products per cycle.
The sums keep float32's precision. Weights are rounded once, when they are loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from .fixed_shapes import operator_name

if TYPE_CHECKING:
    from tvm.ir import BaseFunc, Call, Expr, IRModule

EXTENSION = "cl_khr_fp16"
_CONVOLUTIONS = ("relax.nn.conv1d", "relax.nn.conv2d", "relax.nn.conv3d")
_ATTRIBUTES = ("strides", "padding", "dilation", "groups", "data_layout", "kernel_layout", "out_layout")


def with_half_products(module: IRModule) -> IRModule:
    """Return the Relax module with the operands of all products rounded to float16."""
    from tvm import relax
    from tvm.relax.expr_functor import PyExprMutator, mutator

    @mutator
    class Halves(PyExprMutator):
        """Inserts casts to float16 before each product; its result has type float32."""

        def visit_call_(self, op: Call) -> Expr:
            call = self.visit_expr_post_order(op)
            name = operator_name(call)
            if not isinstance(call, relax.Call) or name not in (*_CONVOLUTIONS, "relax.matmul"):
                return call
            x, weight = (self.builder_.emit(relax.op.astype(operand, "float16")) for operand in call.args)
            if name == "relax.matmul":
                return relax.op.matmul(x, weight, out_dtype="float32")
            convolution: Callable[..., Expr] = getattr(relax.op.nn, name.rpartition(".")[2])
            attributes = {name: getattr(call.attrs, name) for name in _ATTRIBUTES}
            return convolution(x, weight, **attributes, out_dtype="float32")

    walker = Halves(module)
    main = cast("BaseFunc", walker.visit_expr(module["main"]))
    walker.builder_.update_func(module.get_global_var("main"), main)
    return walker.builder_.get()
