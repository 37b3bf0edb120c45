"""Finding the layers of a Relax program that we have kernels for.

This happens on the program as it comes in, where a layer is still one operator. What follows it (biases, folded batch
norms, a residual, a rectifier, pooling) becomes the kernel's epilogue; anything else stays a kernel of its own, which
TVM makes and kernels/dense.py schedules.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, SupportsFloat, cast

from .fixed_shapes import bindings_of, body_of, operator_name, shape_of
from .kernels.epilogue import Epilogue
from .kernels.geometry import ConvolutionGeometry, Window
from .layers import Layer, Match, Stored, window_of

if TYPE_CHECKING:
    from tvm.ir import Call, Expr, GenericConst, Var
    from tvm.relax import Function, VarBinding
    from tvm.relax.op.op_attrs import Conv2DAttrs, Pool2DAttrs

_STEPS = {"relax.add": "add", "relax.multiply": "multiply", "relax.subtract": "subtract", "relax.divide": "divide"}
_EITHER_WAY = ("add", "multiply")


def find_layers(main: Function, stored: Mapping[str, Stored], accumulators: int) -> list[Match]:
    """What of the Relax function `main` we have kernels for, in its order.

    stored        of each parameter that decodes to sparse rows, by its variable's name
    accumulators  floats that fit in the target's registers beside a sparse kernel's operands
    """
    return _Search(main, stored, accumulators).found


class _Search:
    """Walks the bindings once; `found` is the result."""

    def __init__(self, main: Function, stored: Mapping[str, Stored], accumulators: int) -> None:
        from tvm import relax

        self.stored, self.accumulators = stored, accumulators
        self.parameters: dict[Expr, str] = {variable: variable.name for variable in main.params}
        body = body_of(main)
        bindings = [binding for block in body.blocks for binding in bindings_of(block)]
        self.users: dict[Expr, list[VarBinding]] = {}
        self.bound: dict[Expr, VarBinding] = {binding.var: binding for binding in bindings}
        self.uses: Counter[Expr] = Counter([body.body])
        for binding in bindings:
            for variable in relax.analysis.free_vars(binding.value):
                self.uses[variable] += 1
                self.users.setdefault(variable, []).append(binding)
        self.taken: set[Var] = set()
        self.found: list[Match] = []
        for binding in bindings:
            found = None if binding.var in self.taken else self._layer(binding) or self._pool(binding)
            if found is not None:
                self.found.append(found)
                self.taken.update(each.var for each in found.bindings)

    def _layer(self, binding: VarBinding) -> Match | None:
        name, call = operator_name(binding.value), cast("Call", binding.value)
        if name == "relax.nn.conv2d":
            x, weight = call.args
            attributes = cast("Conv2DAttrs", call.attrs)
            window = window_of(attributes, shape_of(weight)[2:])
            if window is None or not self._own(weight):
                return None
            batch, channels, *extents = shape_of(x)
            groups = int(attributes.groups)
            geometry = ConvolutionGeometry(channels, (extents[0], extents[1]), groups, window, self.accumulators)
            return self._found(weight, batch, geometry, x, (binding,))
        if name == "relax.matmul":
            x, turned = call.args
            turn = self.bound.get(turned)
            if turn is None or operator_name(turn.value) != "relax.permute_dims" or self.uses[turned] != 1:
                return None
            weight = cast("Call", turn.value).args[0]
            if self._own(weight) and len(shape_of(weight)) == 2 and len(shape_of(x)) == 2:
                return self._found(weight, shape_of(x)[0], None, x, (turn, binding))
        return None

    def _pool(self, binding: VarBinding) -> Match | None:
        """Pooling by maximum that stands alone."""
        if operator_name(binding.value) != "relax.nn.max_pool2d":
            return None
        call = cast("Call", binding.value)
        attributes = cast("Pool2DAttrs", call.attrs)
        window = window_of(attributes, [int(extent) for extent in attributes.pool_size])
        if window is None or not _plain_pool(attributes, window):
            return None
        return Match(None, call.args[0], (), (binding,))

    def _own(self, weight: Expr) -> bool:
        """Whether a weight is a parameter that nobody else reads."""
        return self.uses[weight] == 1 and weight in self.parameters

    def _found(
        self, weight: Expr, batch: int, geometry: ConvolutionGeometry | None, x: Expr, bindings: tuple[VarBinding, ...]
    ) -> Match:
        shape = shape_of(weight)
        plane = () if geometry is None else geometry.outputs
        epilogue, operands, behind = self._tail(bindings[-1], (batch, shape[0], *plane))
        name = self.parameters[weight]
        layer = Layer(name, shape, self.stored.get(name, Stored()), batch, geometry, epilogue)
        return Match(layer, x, tuple(operands), (*bindings, *behind))

    def _tail(self, binding: VarBinding, outputs: tuple[int, ...]) -> tuple[Epilogue, list[Expr], list[VarBinding]]:
        steps: list[str] = []
        operands: list[Expr] = []
        behind: list[VarBinding] = []
        clip: tuple[float, float] | None = None
        pool: Window | None = None
        convolution = len(outputs) == 4
        while (following := self._only_user(binding.var)) is not None and following.var not in self.taken:
            call, before = cast("Call", following.value), binding.var
            name = operator_name(call)
            if name in _STEPS and clip is None and pool is None:
                operand = _operand(call, before, _STEPS[name])
                if operand is None or not _fits(operand, outputs):
                    break
                steps.append(_STEPS[name])
                operands.append(operand)
            elif name in ("relax.nn.relu", "relax.clip") and clip is None:
                clip = (0.0, math.inf) if name == "relax.nn.relu" else _bounds(call)
            elif name == "relax.nn.max_pool2d" and convolution and pool is None:
                attributes = cast("Pool2DAttrs", call.attrs)
                pool = window_of(attributes, [int(extent) for extent in attributes.pool_size])
                if pool is None or not _plain_pool(attributes, pool):
                    pool = None
                    break
            else:
                break
            behind.append(following)
            binding = following
        return Epilogue(tuple(steps), tuple(map(shape_of, operands)), clip, pool), operands, behind

    def _only_user(self, variable: Var) -> VarBinding | None:
        users = self.users.get(variable, [])
        return users[0] if len(users) == 1 and self.uses[variable] == 1 else None


def _plain_pool(attributes: Pool2DAttrs, window: Window) -> bool:
    """Whether each window is without holes and meets the input."""
    borders = zip(window.before, window.after, window.kernel, strict=True)
    met = all(max(before, after) < kernel for before, after, kernel in borders)
    return met and window.dilation == (1, 1) and not attributes.ceil_mode


def _operand(call: Call, before: Var, step: str) -> Expr | None:
    """The other operand; None where the order is the wrong one, or both are the same."""
    left, right = call.args
    if left.same_as(before) and not right.same_as(before):
        return right
    return left if right.same_as(before) and step in _EITHER_WAY and not left.same_as(before) else None


def _fits(operand: Expr, outputs: tuple[int, ...]) -> bool:
    """Whether there is one number for each output, or for each channel along its axis."""
    from tvm import relax

    if not isinstance(operand, relax.Var):
        return False
    shape, channels = shape_of(operand), outputs[1]
    if len(outputs) == 4:
        return shape in (outputs, (1, channels, 1, 1))
    return shape in (outputs, (channels,), (1, channels))


def _bounds(call: Call) -> tuple[float, float]:
    values = (cast("GenericConst", each).value for each in call.args[1:])
    low, high = (float(cast("SupportsFloat", getattr(value, "value", value))) for value in values)
    return low, high
