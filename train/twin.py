"""A layer turned, in place, into its variational twin.

The twin is the same object as the layer: what else refers to the layer (a list beside the module's own children, a
hook, a bound method) then refers to the twin. Hooks, attributes, extra parameters and submodules, the training flag
and the parameters `weight` and `bias` themselves are therefore those of the layer, and only its class changes, to one
that extends both the method's layer and the layer's own class: `isinstance(twin, nn.Linear)` holds.
"""

from __future__ import annotations

import types
from collections import Counter
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrize

from ..errors import InputError
from .layers import VariationalLayer
from .methods import Method
from .operation import operation_of

# What every module has: of these the layer keeps its own.
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_KEPT = ("weight", "bias")
# Attributes of a class that an instance may replace by its own, which its forward then runs.
_BEHAVIOUR = ("forward", "_conv_forward")
# Ways of old to compute a weight in a hook, by the name of the hook's class, and what undoes them.
_COMPUTED_BY = {
    "WeightNorm": "torch.nn.utils.remove_weight_norm({layer})",
    "SpectralNorm": "torch.nn.utils.remove_spectral_norm({layer})",
    "L1Unstructured": "torch.nn.utils.prune.remove({layer}, 'weight')",
}

Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


class Owners:
    """How many modules of a network hold each parameter, also where two parameters are views of one memory."""

    def __init__(self, network: nn.Module) -> None:
        self._counts = Counter(
            _place(parameter)
            for module in network.modules() for parameter in module._parameters.values() if parameter is not None
        )  # fmt: skip

    def of(self, parameter: Tensor) -> int:
        """The number of modules that hold `parameter`."""
        return self._counts[_place(parameter)]


def _place(parameter: Tensor) -> tuple[object, ...]:
    if parameter.numel() == 0 or parameter.layout != torch.strided or parameter.device.type == "meta":
        return ("id", id(parameter))
    return (parameter.device, parameter.data_ptr())


def is_layer(module: nn.Module) -> TypeGuard[Layer]:
    """Whether the module is, or extends, a Linear or ConvNd with a weight of its own kind."""
    return isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) and not isinstance(
        module, VariationalLayer
    )


def check_layer(name: str, module: nn.Module) -> None:
    """Raises InputError for a Linear or ConvNd whose weight is not a plain parameter, with what makes it one."""
    if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():
        raise InputError(
            f"{_named(name, module)} has no weight yet; run the network once on an example before it is made "
            "variational."
        )
    if not is_layer(module):
        return
    here = f"net.{name}" if name else "net"
    if parametrize.is_parametrized(module):
        tensor = next(iter(module.parametrizations))  # type: ignore[arg-type]
        raise InputError(
            f"{_named(name, module)} computes its {tensor} by a parametrization, which a distribution over weights "
            f"cannot follow; call torch.nn.utils.parametrize.remove_parametrizations({here}, {tensor!r}) first."
        )
    for tensor in _KEPT:
        if tensor not in module._parameters:
            kinds = [type(hook).__name__ for hook in module._forward_pre_hooks.values()]
            known = [_COMPUTED_BY[kind].format(layer=here) for kind in kinds if kind in _COMPUTED_BY]
            pruned = f"torch.nn.utils.prune.remove({here}, {tensor!r})"
            if f"{tensor}_orig" in module._parameters and f"{tensor}_mask" in module._buffers:
                known = [pruned]
            raise InputError(
                f"{_named(name, module)} computes its {tensor} in a hook, which a distribution over weights cannot "
                f"follow; call {known[0] if known else 'what removes the hook'} first."
            )


def why_deterministic(module: nn.Module, owners: Owners) -> str | None:
    """Why a Linear or ConvNd cannot be a distribution over weights; None if it can."""
    if operation_of(module) is None or not is_layer(module):
        base = next(
            kind.__name__ for kind in type(module).__mro__ if kind in (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
        )
        return f"it is a {type(module).__name__}, which extends {base}"
    if any(key in vars(module) for key in _BEHAVIOUR):
        return "its forward was replaced"
    weight = module.weight
    if not weight.dtype.is_floating_point or weight.layout != torch.strided:
        return f"its weight is of type {str(weight.dtype).removeprefix('torch.')} and layout {weight.layout}"
    if weight.numel() == 0:
        return "its weight is empty"
    if owners.of(weight) > 1:
        return "another module shares its weight"
    if not weight.requires_grad:
        return "its weight is frozen (requires_grad is False)"
    return None


def become_variational(name: str, module: nn.Module, method: Method, position: int) -> VariationalLayer:
    """Turn the Linear or ConvNd `module` into the method's variational layer, in place, and return it.

    name      of the layer in its network, for errors
    position  of the layer among the network's variational layers, the first is 0

    Raises InputError when the layer has an attribute that the variational layer needs for itself.
    """
    operation = operation_of(module)
    assert operation is not None
    assert is_layer(module)
    made = method.layer(operation, module.weight, module.bias, position)
    kind: type[nn.Module] = type(module)
    twin = _twin_class(type(made), kind)
    attributes = {
        key: value for key, value in vars(made).items()
        if key not in _OF_EVERY_MODULE and key not in ("operation", *_KEPT)
    }  # fmt: skip
    parameters = {key: value for key, value in made._parameters.items() if key not in _KEPT}
    needed = {*attributes, *parameters, *made._buffers, *(set(dir(twin)) - set(dir(kind)))}
    held = {*vars(module), *module._parameters, *module._buffers, *module._modules}
    if clash := sorted(needed & held):
        raise InputError(
            f"{_named(name, module)} has an attribute {clash[0]!r}, a name that its variational twin needs for itself; "
            "rename the attribute."
        )
    own = dict(module._parameters)
    module._parameters.clear()
    # In the order of the method's layer, which is the order that optimisers in checkpoints number parameters in.
    for key, parameter in made._parameters.items():
        module._parameters[key] = own.pop(key) if key in _KEPT else parameter
    module._parameters.update(own)
    module._buffers.update(made._buffers)
    vars(module).update(attributes)
    vars(module)["variational_tensors"] = frozenset({"weight", *parameters, *made._buffers})
    whole: Any = module
    whole.__class__ = twin
    return whole  # type: ignore[no-any-return]


def write_past_fast_paths(network: nn.Module) -> None:
    """Let PyTorch's transformer layers call their variational layers in evaluation mode too.

    Their fast path reads `linear1.weight` and `linear2.weight` itself, which are means of weights that the point
    prediction may take for zero. It is left when the activation is unknown to it, and nested tensors with it.
    """
    for module in network.modules():
        if isinstance(module, nn.TransformerEncoderLayer) and _has_variational(module):
            module.activation_relu_or_gelu = 0
        if isinstance(module, nn.TransformerEncoder) and _has_variational(module):
            module.use_nested_tensor = False


def _has_variational(module: nn.Module) -> bool:
    return any(isinstance(part, VariationalLayer) for part in module.modules())


def _named(name: str, module: nn.Module) -> str:
    kind = type(module).__name__.removeprefix("Parametrized")
    return f"Layer {name} ({kind})" if name else f"The network, a {kind},"


_CLASSES: dict[tuple[type[VariationalLayer], type[nn.Module]], type[VariationalLayer]] = {}


def _twin_class(variational: type[VariationalLayer], kind: type[nn.Module]) -> type[VariationalLayer]:
    """The class of twins of layers of class `kind`; its operation follows the layer's attributes as they are now."""
    if (variational, kind) in _CLASSES:
        return _CLASSES[variational, kind]
    members = {
        "__doc__": f"The variational twin of {kind.__name__}; see {variational.__name__}.",
        "__module__": __name__,
        "__reduce_ex__": _reduced,
        "operation": staticmethod(F.linear) if kind is nn.Linear else vars(kind)["_conv_forward"],
    }
    name = variational.__name__.removesuffix("Layer") + kind.__name__
    made = types.new_class(name, (variational, kind), exec_body=lambda space: space.update(members))
    return _CLASSES.setdefault((variational, kind), made)


def _reduced(twin: VariationalLayer, _protocol: int) -> tuple[Any, ...]:
    """How to copy and pickle a twin: its class is made on the way, and no name finds it."""
    variational, kind = type(twin).__bases__
    return _blank, (variational, kind), twin.__getstate__()  # type: ignore[no-untyped-call]


def _blank(variational: type[VariationalLayer], kind: type[nn.Module]) -> VariationalLayer:
    """A twin whose state is about to be set."""
    twin_class = _twin_class(variational, kind)
    return twin_class.__new__(twin_class)
