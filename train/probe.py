"""Finding weights that a network reads past their layer, where a variational twin cannot sample them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Uses:
    """Names of layers whose weight is computed with outside their own forward, and of layers that never run."""

    read_past: tuple[str, ...]
    unused: tuple[str, ...]


def uses_of(network: nn.Module, layers: Mapping[str, nn.Module], inputs: Any) -> Uses:
    """Run `network` in evaluation mode on `inputs` and see how it uses `layers`, by name.

    Reading a weight's shape, type or device is no use of it. Whatever the network raises is passed on; modes and
    forward methods are as before afterwards.
    """
    watch = _Watch(layers)
    modes = [(module, module.training) for module in network.modules()]
    fast = torch.backends.mha.get_fastpath_enabled()
    network.eval()
    torch.backends.mha.set_fastpath_enabled(False)  # it reads weights past their layers, and twins leave it
    try:
        with torch.no_grad(), contextlib.ExitStack() as stack:
            for name, layer in layers.items():
                stack.enter_context(watch.inside(name, layer))
            with watch:
                network(inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for module, mode in modes:
            module.training = mode
    return Uses(
        tuple(name for name in layers if name in watch.read), tuple(name for name in layers if name not in watch.run)
    )


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation on tensors, and which of them take a watched weight while none of the layers runs."""

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # By memory, so that views and detached aliases count as the weight, which in a twin several tensors describe.
        self._places = [
            (name, tensor.data_ptr(), tensor.data_ptr() + tensor.numel() * tensor.element_size())
            for name, layer in layers.items()
            for key in getattr(layer, "variational_tensors", ("weight",))
            if isinstance(tensor := getattr(layer, key), Tensor)
        ]
        self._depth = 0
        self.read: set[str] = set()
        self.run: set[str] = set()

    @contextlib.contextmanager
    def inside(self, name: str, layer: nn.Module) -> Iterator[None]:
        """Within it, running `layer` counts as a use of `layer`."""
        own: Callable[..., Tensor] | None = vars(layer).get("forward")
        forward = layer.forward

        def watched(*args: Any, **named: Any) -> Any:
            self.run.add(name)
            self._depth += 1
            try:
                return forward(*args, **named)
            finally:
                self._depth -= 1

        vars(layer)["forward"] = watched
        try:
            yield
        finally:
            del vars(layer)["forward"]
            if own is not None:
                vars(layer)["forward"] = own

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), named: Any = None) -> Any:
        """Run the operation, and note watched weights among its arguments."""
        if self._depth == 0:
            for leaf in tree_leaves((args, named)):
                if isinstance(leaf, Tensor) and leaf.layout == torch.strided and leaf.device.type != "meta":
                    place = leaf.data_ptr()
                    self.read.update(name for name, start, end in self._places if start <= place < end)
        return function(*args, **(named or {}))
