"""The Python face: the same four stages on any network, without files in between unless asked for.

net = bayespress.bayesianize(my_net, method="sparse-vd")
bayespress.fit(net, train_loader, val_loader, epochs=60)
packed = bayespress.compress(net, example_input)
packed.save("net.bpz")
bayespress.build(packed, targets=["host", "arm64-linux"], out="net.bundle")
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .compress.packed import Packed
    from .deploy.bundle.format import Manifest


def build(
    packed: Packed | Path | str,
    targets: Sequence[str] = ("host",),
    out: Path | str = "network.bundle",
    *,
    name: str = "network",
    kernels: str = "auto",
    overwrite: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Manifest:
    """Build a bundle from a compressed network or from a packed directory; `name` serves the former.

    kernels    of layers that can be either: "dense", "sparse", or "auto", whichever is expected to be quicker
    overwrite  replace another bundle at `out`; anything else that is there is never replaced
    """
    from .deploy.builder.build import build as build_bundle

    if isinstance(packed, Path | str):
        return build_bundle(Path(packed), targets, Path(out), progress=progress, kernels=kernels, overwrite=overwrite)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "packed"
        packed.write(folder, name=name)
        return build_bundle(folder, targets, Path(out), progress=progress, kernels=kernels, overwrite=overwrite)
