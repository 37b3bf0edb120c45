"""Where the bytes of a packed network are, layer by layer, and what the papers' columns would count."""

from __future__ import annotations

import torch
from torch import nn

from .. import codec
from ..codec import Codebook, Grid, Minifloat, QuantizedTensor
from ..packed_format import LayerRecord, PapersRecord
from .tensors import tensors_of


def layer_records(weights: bytes, original: nn.Module) -> tuple[LayerRecord, ...]:
    """A record for each tensor of the file, in its order; `original` is the network as it was given."""
    before = tensors_of(original)
    records = []
    tensors = codec.decode(weights)
    for tensor, laid in zip(tensors, codec.layout(weights).tensors, strict=True):
        given = before.get(tensor.name)  # a bias that took up constants may be new
        records.append(
            LayerRecord(
                name=tensor.name,
                shape=tuple(laid.shape),
                original_shape=() if given is None else tuple(given.shape),
                nonzero=laid.nonzero,
                coding=_in_words(tensor),
                step=tensor.value_map.step
                if isinstance(tensor, QuantizedTensor) and isinstance(tensor.value_map, Grid)
                else None,
                bits={stream: 8.0 * size for stream, size in laid.streams.items() if size},
            )
        )
    return tuple(records)


def papers_columns(weights: bytes, network: nn.Module) -> PapersRecord:
    """The columns of Louizos et al. 2017, table 2, for `network`, which the file holds; sizes in bytes.

    fast_prediction      the structure alone: every parameter of the shrunk network in 32 bits
    maximum_compression  the weights under the scheme of Han et al., see codec.han_sizes, and other tensors in 32 bits
    """
    scheme = codec.han_sizes(codec.decode(weights))
    covered = {sizes.name for sizes in scheme}
    state = tensors_of(network)
    others = sum(
        int(torch.count_nonzero(tensor))
        for name, tensor in state.items()
        if name not in covered and tensor.dtype.is_floating_point
    )
    return PapersRecord(
        fast_prediction=4 * sum(parameter.numel() for parameter in network.parameters()),
        maximum_compression=(sum(sizes.huffman for sizes in scheme) + 7) // 8 + 4 * others,
    )


def _in_words(tensor: codec.Tensor) -> str:
    if not isinstance(tensor, QuantizedTensor):
        return "float32"
    form = tensor.value_map
    if isinstance(form, Minifloat):
        return f"float of 1 + {form.exponent_bits} + {form.mantissa_bits} bits"
    if isinstance(form, Codebook):
        return f"{len(form.entries)} shared values"
    low, high = int(tensor.levels.min(initial=0)), int(tensor.levels.max(initial=0))
    return f"levels {low} to {high}"
