"""Check that a network can be compressed, and convert it to the form that all later steps expect.

That form is a deterministic network in evaluation mode that computes in float32. Its weights are plain parameters, and
it returns one tensor with one row for each input.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm, SpectralNormLoadStateDictPreHook
from torch.nn.utils.weight_norm import WeightNorm

from ..errors import InputError, reason_of, user_code
from ..text import printable
from .constants import keep_in_graph, note_on
from .posterior import Posterior
from .tensors import tensors_of

_LARGEST_CAST_ERROR = 1e-6  # relative root mean square error of a tensor cast to float32; rounding alone causes 3e-8


def admit(network: nn.Module, posterior: Posterior, example: Tensor) -> tuple[nn.Module, Posterior, Tensor, list[str]]:
    """Convert a copy of `network` to the form above, with the posterior means as its weights.

    Returns the network, the posterior and the example in float32, and notes for the user. Raises InputError when the
    posterior does not fit the network, and for a network or an example that cannot be compressed.
    """
    _check_example(example)
    _check_parameters(network)
    kind = type(network).__name__
    with user_code(f"copying the network {kind}"):
        copied = copy.deepcopy(network, _computed_tensors(network)).eval()
    copied.requires_grad_(False)
    posterior.load_into(copied)
    fix_parametrizations(copied)
    constants = keep_in_graph(copied)
    notes = note_on(constants) + _to_float32(copied)
    if example.is_floating_point():
        example = example.float()
    values = {name: tensor for name, tensor in posterior.values.items() if name not in constants}
    posterior = Posterior(_floats(values), _floats(posterior.variances), _floats(posterior.group_noise))
    notes += _check_runs(copied, example)
    return copied, posterior, example, notes


def fix_parametrizations(network: nn.Module) -> None:
    """Replace every computed weight (weight norm, spectral norm, masks, any parametrization) by its current value.

    Changes `network`, which must be in evaluation mode, in place. At inference these weights are constants.
    """
    with torch.no_grad():
        for module in network.modules():
            if parametrize.is_parametrized(module):
                for name in list(module.parametrizations):  # type: ignore[arg-type]
                    parametrize.remove_parametrizations(module, name, leave_parametrized=True)
            for hook in list(module._forward_pre_hooks.values()):
                name = getattr(hook, "name", getattr(hook, "_tensor_name", ""))
                if isinstance(hook, WeightNorm):
                    nn.utils.remove_weight_norm(module, name)
                elif isinstance(hook, SpectralNorm):
                    nn.utils.remove_spectral_norm(module, name)
                    _forget_spectral_norm(module)
                elif isinstance(hook, prune.BasePruningMethod):
                    prune.remove(module, name)  # type: ignore[no-untyped-call]
    network.requires_grad_(False)


def _forget_spectral_norm(module: nn.Module) -> None:
    """Remove the loading hook of spectral norm, which PyTorch's own removal misses because the hook is wrapped."""
    for key, hook in list(module._load_state_dict_pre_hooks.items()):
        if isinstance(getattr(hook, "hook", hook), SpectralNormLoadStateDictPreHook):
            del module._load_state_dict_pre_hooks[key]


def _computed_tensors(network: nn.Module) -> dict[int, object]:
    """A memo for deepcopy with detached copies of computed tensors that modules store, as weight norm does.

    deepcopy itself cannot copy a tensor that is not a leaf of the autograd graph.
    """
    kept = [value for module in network.modules() for value in vars(module).values() if isinstance(value, Tensor)]
    return {id(tensor): tensor.detach().clone() for tensor in kept if not tensor.is_leaf}


def _check_example(example: object) -> None:
    if not isinstance(example, Tensor):
        raise InputError(
            f"The example is a {type(example).__name__}; give one tensor (n, ...), since networks with several inputs "
            "cannot be compressed."
        )
    if example.ndim == 0 or len(example) == 0:
        raise InputError(f"The example has shape {tuple(example.shape)}; give one input or more, as (n, ...).")
    if example.is_complex() or example.device.type == "meta":
        raise InputError(f"The example is {example.dtype} on {example.device}; give real numbers in memory.")
    if example.is_floating_point() and not bool(torch.isfinite(example).all()):
        raise InputError("The example holds NaN or infinite values; give inputs from the data.")


def _check_parameters(network: nn.Module) -> None:
    if not isinstance(network, nn.Module):
        raise InputError(f"The network is a {type(network).__name__}; give a torch.nn.Module.")
    kind = type(network).__name__
    names = [*network.named_parameters(), *network.named_buffers()]
    for name, tensor in names:
        shown = f"{printable(name)} of {kind}"
        if isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer):
            raise InputError(f"{shown} has no shape yet; run the network once on real inputs before compressing it.")
        if tensor.device.type == "meta":
            raise InputError(f"{shown} is on the device meta and has no values; load its weights first.")
        if tensor.is_complex():
            raise InputError(f"{shown} is of {tensor.dtype}; only real numbers are compressed.")
        if tensor.is_quantized or tensor.layout != torch.strided:
            raise InputError(f"{shown} is sparse or quantised already; give a network of dense float tensors.")
    if not any(tensor.numel() and tensor.is_floating_point() for _, tensor in network.named_parameters()):
        raise InputError(f"{kind} has no parameters; there is nothing to compress.")


def _to_float32(network: nn.Module) -> list[str]:
    """Cast all floating-point tensors to float32 in place. Returns one note if any had another type, else none."""
    others = {str(t.dtype).removeprefix("torch.") for t in _own(network) if t.dtype != torch.float32}
    if not others:
        return []
    for name, tensor in tensors_of(network).items():
        if tensor.dtype == torch.float64:
            cast = tensor.float().double()
            scale = math.sqrt(float(tensor.square().mean())) if tensor.numel() else 0.0
            error = math.sqrt(float((cast - tensor).square().mean())) if tensor.numel() else 0.0
            largest = float(tensor.abs().max()) if tensor.numel() else 0.0
            overflows = not math.isfinite(float(cast.abs().sum()))
            underflows = largest > 0.0 and scale == 0.0
            if overflows or underflows or error > _LARGEST_CAST_ERROR * scale:
                raise InputError(
                    f"Tensor {printable(name)} of float64 holds values up to {largest:.3g}, which float32 cannot hold; "
                    "scale the network's weights."
                )
    network.float()
    return [f"The file holds float32: weights of {', '.join(sorted(others))} were cast before errors were measured."]


def _own(network: nn.Module) -> list[Tensor]:
    tensors = (*network.parameters(), *network.buffers())
    return [tensor for tensor in tensors if tensor.is_floating_point()]


def _floats(tensors: object) -> dict[str, Tensor]:
    assert isinstance(tensors, dict) or hasattr(tensors, "items")
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _check_runs(network: nn.Module, example: Tensor) -> list[str]:
    """Check that two runs return the same tensor with one row for each input and change no state; notes."""
    name, shape = type(network).__name__, tuple(example.shape)
    twin = copy.deepcopy(network)
    before = {key: tensor.clone() for key, tensor in tensors_of(twin).items()}
    outputs: list[object] = []
    try:
        with torch.no_grad():
            outputs.extend(twin(example.clone()) for _ in range(2))
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # a forward raises whatever its author's operators raise, SystemExit among it
        reason = reason_of(error) if isinstance(error, Exception) else type(error).__name__
        raise InputError(
            f"{name} cannot be run on inputs of shape {shape} ({reason}); give a batch as in training."
        ) from error
    output = outputs[0]
    if not isinstance(output, Tensor) or output.shape[:1] != example.shape[:1]:
        what = f"a tensor of shape {tuple(output.shape)}" if isinstance(output, Tensor) else _described(output)
        raise InputError(
            f"{name} returns {what} for inputs of shape {shape}; return one tensor with a row for each input."
        )
    if output.is_complex():
        raise InputError(f"{name} returns outputs of {output.dtype}; return real numbers.")
    after = tensors_of(twin)
    changed = [key for key, tensor in before.items() if not torch.equal(after[key], tensor)]
    if changed:
        raise InputError(
            f"{name} changes its tensor {printable(changed[0])} when it runs; its forward has to leave the state alone "
            "in evaluation mode."
        )
    again = outputs[1]
    assert isinstance(again, Tensor)
    if again.shape != output.shape or not torch.allclose(output.double(), again.double(), 1e-4, 0.0, equal_nan=True):
        raise InputError(
            f"{name} returns different outputs when it runs again on the same inputs; remove randomness and counters "
            "from its forward in evaluation mode."
        )
    return _single_notes(twin, example, output)


def _single_notes(network: nn.Module, example: Tensor, outputs: Tensor) -> list[str]:
    """Check the network on a single input, since bundles run one input at a time; notes where outputs depend on others.

    Raises InputError when the network cannot run on one input.
    """
    name = type(network).__name__
    try:
        with torch.no_grad():
            alone = network(example[:1].clone())
    except Exception as error:
        raise InputError(
            f"{name} runs on {len(example)} inputs but not on one ({reason_of(error)}); take the batch size from the "
            "inputs, since bundles run them one by one."
        ) from error
    if not isinstance(alone, Tensor) or alone.shape != outputs[:1].shape:
        raise InputError(f"{name} gives another shape for one input than for {len(example)}; keep the rows apart.")
    notes = []
    first, alone = outputs[:1].double(), alone.double()
    scale = outputs.double().abs().nan_to_num(posinf=0.0).amax()
    if not bool(((first - alone).abs().nan_to_num(posinf=0.0) <= 1e-3 * scale).all()):
        notes.append(
            f"Outputs of {name} depend on the other inputs of a batch; bundles run inputs one by one, and the error "
            "there may differ."
        )
    if not bool(torch.isfinite(outputs).all()):
        notes.append(f"{name} gives NaN or infinite outputs for the example, and these cannot be checked.")
    return notes


def _described(output: object) -> str:
    if isinstance(output, Sequence) and not isinstance(output, str):
        return f"a {type(output).__name__} of {len(output)}"
    return f"a {type(output).__name__}"
