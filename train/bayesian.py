"""Turning a network into its variational twin."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from ..errors import InputError, reason_of, unknown_name, user_code
from ..text import printable
from .compiled import uncompile_parts, uncompiled_name
from .layers import VariationalLayer
from .likelihoods import Likelihood
from .methods import Method, method_named
from .twin import Owners, become_variational, check_layer, is_layer, why_deterministic, write_past_fast_paths


class BayesianNetwork(nn.Module):
    """A network whose Linear and ConvNd layers are distributions over weights.

    `network` is the twin of the module given to `bayesianize`: same structure, same names, same inputs. `notes` says of
    each Linear and ConvNd that stayed deterministic why it did. `likelihood` is what `fit` trained it by; None before.
    """

    likelihood: Likelihood | None = None

    def __init__(self, network: nn.Module, original: nn.Module, method: Method, notes: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.network = network
        self.method = method
        self.notes = notes
        self.prior = method.network_prior()
        if self.prior is not None:
            self.prior.to(next(network.parameters()).device)
        self.training = network.training
        # In a tuple, out of sight of nn.Module: its weights are neither trained nor saved.
        self._original = (original,)

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """The network's output: sampled in training mode, the method's point prediction in evaluation mode."""
        return self.network(*inputs, **named)

    def variational_layers(self) -> Iterator[tuple[str, VariationalLayer]]:
        """Name (as in the original network) and layer, in the network's order; a shared layer comes once."""
        for name, module in self.network.named_modules():
            if isinstance(module, VariationalLayer):
                yield name, module

    def kl(self) -> Tensor:
        """KL(posterior || prior) over all weights, in nats: add `net.kl() / n_examples` to the mean log loss."""
        terms = [layer.kl() for _, layer in self.variational_layers()]
        if self.prior is not None:
            terms.append(self.prior.penalty(self._weights()))
        return torch.stack(terms).sum()

    def add_kl_gradient(self, weight: float) -> None:
        """Add `weight` times the gradient of `kl()` to the parameters' `grad`: behind a backward pass of the log loss
        with weight = 1 / n_examples the same as adding `kl() / n_examples` to the loss, but quicker.
        """
        left = [layer for _, layer in self.variational_layers() if not layer.add_kl_gradient(weight)]
        if weight == 0.0:
            return
        terms = [layer.kl() for layer in left]
        if self.prior is not None:
            terms.append(self.prior.penalty(self._weights()))
        if any(term.requires_grad for term in terms):
            (weight * torch.stack(terms).sum()).backward()  # type: ignore[no-untyped-call]

    def defer_gradients(self, defer: bool) -> None:
        """Promise that `add_kl_gradient` follows every backward pass, if with weight 0, or take the promise back.

        Under it layers leave that call a part of their own gradients, and a step is quicker.
        """
        for _, layer in self.variational_layers():
            layer.defer_gradients(defer)

    def start_prior(self) -> None:
        """Fit a prior that all layers share to the present weights, where the method has one."""
        if self.prior is not None:
            self.prior.start(weight.detach() for weight in self._weights())

    def after_step(self, progress: float) -> None:
        """To be called after each optimiser step with the finished fraction of the run, as `fit` does."""
        for _, layer in self.variational_layers():
            layer.after_step(progress)

    def finish(self) -> None:
        """Settle at the end of training what the method leaves open until then, as `fit` does."""
        if self.prior is not None:
            self.prior.finish(layer for _, layer in self.variational_layers())

    @contextlib.contextmanager
    def sampling(self) -> Iterator[None]:
        """Within it weights are sampled, and everything deterministic is in evaluation mode."""
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        for _, layer in self.variational_layers():
            layer.training = True
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode

    def _weights(self) -> list[Tensor]:
        return [parameter for _, layer in self.variational_layers()
                for name, parameter in layer.named_parameters() if name == "weight"]  # fmt: skip

    def posterior_tensors(self) -> dict[str, Tensor]:
        """The posterior by the original network's state-dict names, detached copies on the CPU.

        For a variational weight NAME: `NAME`, its posterior mean, and `NAME/variance`, its marginal variance, both
        of the weight's shape and in its units; where weights share scales `NAME/group_noise`, see
        VariationalLayer.group_noise. Everything else stands under its name as it is, but for extra state
        (`get_extra_state`) that is no tensor, which is left out.
        """
        state = {name: value for name, value in self.network.state_dict().items() if isinstance(value, Tensor)}
        for layer_name, layer in self.network.named_modules(remove_duplicate=False):  # as a state dict lists them
            if not isinstance(layer, VariationalLayer):
                continue
            prefix = f"{layer_name}." if layer_name else ""
            for key in layer.variational_tensors:
                state.pop(prefix + key, None)
            state[f"{prefix}weight"], state[f"{prefix}weight/variance"] = layer.marginal()
            if (noise := layer.group_noise()) is not None:
                state[f"{prefix}weight/group_noise"] = noise
        return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}

    def point_network(self) -> nn.Module:
        """A copy of the original network that holds the posterior means."""
        return self._deterministic_copy(self.posterior_tensors())

    def predictive_network(self) -> nn.Module:
        """A copy of the original network that holds the weights that the method predicts with."""
        with torch.no_grad():
            weights = {
                f"{name}.weight" if name else "weight": layer.predictive_weight()
                for name, layer in self.network.named_modules(remove_duplicate=False)
                if isinstance(layer, VariationalLayer)
            }
        return self._deterministic_copy(self.posterior_tensors() | weights)

    def _deterministic_copy(self, tensors: Mapping[str, Tensor]) -> nn.Module:
        network = copy.deepcopy(self._original[0])
        # The twin's state has what is no tensor, as it is now.
        state = self.network.state_dict()
        network.load_state_dict({name: tensors.get(name, state.get(name)) for name in network.state_dict()})
        return network.eval()

    def deterministic(self) -> list[str]:
        """Names of the parameters that stayed point values, biases of variational layers left out."""
        variational = {
            f"{name}.{key}" for name, layer in self.variational_layers() for key in (*layer.variational_tensors, "bias")
        }
        return [name for name, _ in self.network.named_parameters() if name not in variational]


def bayesianize(
    network: nn.Module, method: str | Method = "sparse-vd", *, keep: Iterable[str] = (), **options: Any
) -> BayesianNetwork:
    """The variational twin of `network`, which is left as it was.

    Every nn.Linear and nn.Conv1d/2d/3d becomes a distribution that starts at the layer's present weights. It remains
    the layer that it was: name, attributes, hooks, training flag, a bias that is frozen or shared; used in several
    places it stays one layer. What stays deterministic is listed by `BayesianNetwork.deterministic()`, and
    `BayesianNetwork.notes` says why a Linear or ConvNd did: it shares its weight with another module, its weight is
    frozen, its class extends Linear or ConvNd or its forward was replaced, or it is named in `keep`.

    A network that torch.compile returned, or that has such parts, is taken apart: what is returned is not compiled, and
    `torch.compile` of it trains compiled, see `fit`.

    keep     names of layers that stay deterministic, as `network.named_modules()` has them
    options  settings of the method

    The `weight` of a variational layer is a parameter of its posterior and not a sample: code that reads it past the
    layer, as in `F.linear(x, self.fc.weight)`, would train no distribution. `fit` refuses such a network and names
    the layers to put into `keep`.

    Raises InputError when the method is unknown, when a weight is NaN or infinite, when the network cannot be copied,
    when a layer computes its weight (weight_norm, spectral_norm, pruning, lazy layers; the error says what to call
    first), or when there is no layer to make variational.

    >>> import torch, bayespress
    >>> net = bayespress.bayesianize(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)))
    >>> [name for name, _ in net.variational_layers()]
    ['0', '2']
    >>> loss = torch.nn.functional.mse_loss(net(torch.randn(8, 4)), torch.zeros(8, 2)) + net.kl() / 1000
    >>> loss.backward()
    """
    chosen = method_named(method, **options) if isinstance(method, str) else method
    if options and not isinstance(method, str):
        raise InputError(
            f"Settings {', '.join(options)} were given beside a method that has its own; give one of both."
        )
    check_network(network)
    # A compiled network would run the layers that it was compiled with, so it is the module inside that is copied.
    original, network = uncompile_parts(_copied(network)), uncompile_parts(_copied(network))
    owners = Owners(network)
    kept = _named_layers(network, [uncompiled_name(name) for name in keep])
    count, notes = 0, []
    for name, module in network.named_modules():
        if not is_layer(module):
            continue
        reason = "it was named to stay so" if id(module) in kept else why_deterministic(module, owners)
        if reason is None:
            become_variational(name, module, chosen, count)
            count += 1
        else:
            notes.append(f"{name or 'the network'} stays deterministic: {reason}")
    if not count:
        why = f" ({'; '.join(notes)})" if notes else ""
        raise InputError(
            f"{type(network).__name__} has no Linear or ConvNd layer to make variational{why}; give a network that "
            "has one."
        )
    write_past_fast_paths(network)
    return BayesianNetwork(network, original, chosen, tuple(notes))


def check_network(network: nn.Module) -> None:
    """Refuse what cannot be made variational, by name. Raises InputError."""
    if not isinstance(network, nn.Module):
        raise InputError(f"A {type(network).__name__} was given, and an nn.Module is needed; give the network itself.")
    for name, module in network.named_modules():
        if isinstance(module, VariationalLayer):
            raise InputError(f"{name or 'The network'} is variational already; give the network that it was made from.")
        check_layer(name, module)
    for name, parameter in network.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            raise InputError(f"Parameter {name} has no values yet; run the network once on an example first.")
        if parameter.device.type == "meta":
            raise InputError(f"Parameter {name} is on the meta device and has no values; load the weights first.")
        if not bool(torch.isfinite(parameter).all()):
            constant = "" if parameter.requires_grad else ", or register a constant with register_buffer"
            raise InputError(f"Parameter {name} holds NaN or infinite values; start from finite weights{constant}.")
    for name, buffer in network.named_buffers():
        if isinstance(buffer, UninitializedBuffer):
            raise InputError(f"Buffer {name} has no values yet; run the network once on an example first.")
        if buffer.device.type == "meta":
            raise InputError(f"Buffer {name} is on the meta device and has no values; load the weights first.")
    _check_extra_state(network)


def _check_extra_state(network: nn.Module) -> None:
    """See that extra state can be read, and put back into a copy. Raises InputError."""
    for name, module in network.named_modules():
        kind = type(module)
        if kind.get_extra_state is nn.Module.get_extra_state:
            continue
        called = f"the get_extra_state of {printable(name) or 'the network'}"
        with user_code(called):
            module.get_extra_state()
        if kind.set_extra_state is nn.Module.set_extra_state:
            raise InputError(
                f"{kind.__name__} has a get_extra_state and no set_extra_state, so a copy cannot take that state up; "
                "define both."
            )


def _copied(network: nn.Module) -> nn.Module:
    """A copy with what deepcopy leaves out of parameters: gradient hooks, attributes, and one memory under several.

    Raises InputError when the network cannot be copied.
    """
    try:
        copied = copy.deepcopy(network, _computed_tensors(network))
    except Exception as error:  # whatever a module of the user's, or a tensor that it computed, raises
        raise InputError(
            f"{type(network).__name__} cannot be copied ({reason_of(error)}); keep out of a network what "
            "copy.deepcopy does not take: locks, open files, tensors that have a gradient function."
        ) from error
    first: dict[int, nn.Parameter] = {}
    for before, after in zip(network.parameters(), copied.parameters(), strict=True):
        if before.layout == torch.strided and before.numel():
            owner = first.setdefault(before.data_ptr(), after)
            if owner is not after and owner.numel() == before.numel():
                after.data = owner.data.as_strided(before.shape, before.stride(), owner.storage_offset())
        vars(after).update(vars(before))
        for hook in (before._backward_hooks or {}).values():
            after.register_hook(hook)  # type: ignore[no-untyped-call]
        for hook in (getattr(before, "_post_accumulate_grad_hooks", None) or {}).values():
            after.register_post_accumulate_grad_hook(hook)  # type: ignore[no-untyped-call]
    return copied


def _computed_tensors(network: nn.Module) -> dict[int, object]:
    """What deepcopy is to take for tensors that modules computed and keep, as weight_norm does; it cannot copy them."""
    kept = [value for module in network.modules() for value in vars(module).values() if isinstance(value, Tensor)]
    return {id(tensor): tensor.detach().clone() for tensor in kept if not tensor.is_leaf}


def _named_layers(network: nn.Module, names: Iterable[str]) -> set[int]:
    modules = dict(network.named_modules(remove_duplicate=False))
    for name in names:
        if name not in modules:
            raise unknown_name("layer to keep", name, filter(None, modules))
    return {id(modules[name]) for name in names}
