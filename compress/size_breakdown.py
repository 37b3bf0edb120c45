"""The size of each tensor of a packed network, and the sizes by which the papers' tables count."""

from __future__ import annotations

import torch
from torch import nn

from .. import codec
from ..codec import Codebook, Grid, Minifloat, QuantizedTensor
from ..packed_format import LayerRecord, PapersRecord
from .tensors import tensors_of


def layer_records(weights: bytes, original: nn.Module) -> tuple[LayerRecord, ...]:
    """A record for each tensor, in the order of the file.

    weights   contents of the `.bpz` file
    original  the network before compression
    """
    before = tensors_of(original)
    records = []
    tensors = codec.decode(weights)
    for tensor, layout in zip(tensors, codec.layout(weights).tensors, strict=True):
        uncompressed = before.get(tensor.name)  # None for a bias that folding created
        records.append(
            LayerRecord(
                name=tensor.name,
                shape=tuple(layout.shape),
                original_shape=() if uncompressed is None else tuple(uncompressed.shape),
                nonzero=layout.nonzero,
                coding=_coding_text(tensor),
                step=tensor.value_map.step
                if isinstance(tensor, QuantizedTensor) and isinstance(tensor.value_map, Grid)
                else None,
                bits={stream: 8.0 * size for stream, size in layout.streams.items() if size},
            )
        )
    return tuple(records)


def papers_columns(weights: bytes, network: nn.Module) -> PapersRecord:
    """The columns of Louizos et al. 2017, table 2, for the shrunk `network` in the file; sizes in bytes.

    fast_prediction      every parameter of the shrunk network in 32 bits
    maximum_compression  weights in the scheme of Han et al., see codec.han_sizes, and other tensors in 32 bits
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


def _coding_text(tensor: codec.Tensor) -> str:
    """The coding of a tensor in words, for reports."""
    if not isinstance(tensor, QuantizedTensor):
        return "float32"
    form = tensor.value_map
    if isinstance(form, Minifloat):
        return f"float of 1 + {form.exponent_bits} + {form.mantissa_bits} bits"
    if isinstance(form, Codebook):
        return f"{len(form.entries)} shared values"
    low, high = int(tensor.levels.min(initial=0)), int(tensor.levels.max(initial=0))
    return f"levels {low} to {high}"
