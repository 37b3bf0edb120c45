from collections.abc import Sequence

from ...ir import Attrs

class Conv2DAttrs(Attrs):
    strides: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    groups: int
    data_layout: str
    kernel_layout: str
    out_layout: str

class Pool2DAttrs(Attrs):
    pool_size: Sequence[int]
    strides: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    ceil_mode: bool
    layout: str
    out_layout: str
