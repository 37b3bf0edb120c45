"""Products in half precision: weights and inputs of convolutions and products as float16, sums as float32.

Half the bytes of a weight that a phone's memory has to bring, and on its GPU twice the products a cycle, while what
accumulates keeps float32's precision. Weights are rounded once, when they are loaded.
"""

from __future__ import annotations

from typing import Any

EXTENSION = "cl_khr_fp16"
_CONVOLUTIONS = ("relax.nn.conv1d", "relax.nn.conv2d", "relax.nn.conv3d")
_ATTRIBUTES = ("strides", "padding", "dilation", "groups", "data_layout", "kernel_layout", "out_layout")


def with_half_products(module: Any) -> Any:
    """The Relax module with the operands of all products rounded to float16."""
    from tvm import relax
    from tvm.relax.expr_functor import PyExprMutator, mutator

    @mutator
    class Halves(PyExprMutator):  # type: ignore[misc]
        """Casts before each product, which gives float32."""

        def visit_call_(self, call: Any) -> Any:
            call = self.visit_expr_post_order(call)
            name = str(getattr(call.op, "name", ""))
            if name not in (*_CONVOLUTIONS, "relax.matmul"):
                return call
            operands = [self.builder_.emit(relax.op.astype(operand, "float16")) for operand in call.args]
            if name == "relax.matmul":
                return relax.op.matmul(*operands, out_dtype="float32")
            convolution = getattr(relax.op.nn, name.rpartition(".")[2])
            attributes = {name: getattr(call.attrs, name) for name in _ATTRIBUTES}
            return convolution(*operands, **attributes, out_dtype="float32")

    walker = Halves(module)
    walker.builder_.update_func(module.get_global_var("main"), walker.visit_expr(module["main"]))
    return walker.builder_.get()
