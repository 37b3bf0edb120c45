"""Sparse layers on levels of a grid, on levels that are looked up, and on numbers: the same weights, interleaved.

    OMP_NUM_THREADS=1 python benchmarks/lookup.py [--seconds 3]

Two random networks with 5 % of their weights, which lie on a grid, so that all three compute the same; a codebook of
the grid's values makes the second kind, and keeping the values as float32 the third. What came of it is in
layers.Layer.entries, which this goes around.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from latency import compressed, interleaved, quantized, show_times
from raw_results import RawResults, add_json_option

from bayespress import codec
from bayespress.deploy.builder.packed_network import stored_weights
from bayespress.deploy.compile.aot import compile_network
from bayespress.deploy.compile.layers import Layer, Stored
from bayespress.deploy.compile.targets import target_named
from bayespress.deploy.program.export import parameter_names
from bayespress.deploy.verify.sessions import CompiledNetwork
from bayespress.train.models import build_model

SHARE = 0.05


def looked_up(tensor: codec.QuantizedTensor) -> codec.QuantizedTensor:
    """The same values by a codebook."""
    values = np.unique(tensor.values())
    book = np.concatenate([[0.0], values[values != 0]]).astype(np.float32)
    order = np.argsort(book)
    levels = order[np.searchsorted(book[order], tensor.values().ravel())].reshape(tensor.levels.shape)
    return codec.QuantizedTensor(tensor.name, levels.astype(np.int16), codec.Codebook(book))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    add_json_option(parser)
    options, results = parser.parse_args(), RawResults()
    for name, shape in (("mlp-1200", (1, 1, 28, 28)), ("vgg", (1, 3, 32, 32))):
        torch.manual_seed(0)
        network, example = build_model(name).eval(), torch.randn(*shape)
        program = torch.export.export(network, (example,), strict=False)
        names = set(parameter_names(program).values())
        kept = {key: value for key, value in compressed(network, SHARE).items() if key in names}
        # 101 values, as many as levels of 8 bits can look up.
        grids = {key: quantized(key, value, 50) for key, value in kept.items() if value.ndim > 1}
        raw: list[codec.Tensor] = [codec.RawTensor(key, value) for key, value in kept.items() if value.ndim == 1]
        kinds: dict[str, list[codec.Tensor]] = {
            "levels of a grid": [*grids.values(), *raw],
            "levels, looked up": [*map(looked_up, grids.values()), *raw],
            "numbers": [*grids.values(), *raw],
        }
        x, contenders, outputs = np.ascontiguousarray(example.numpy()), {}, []
        for kind, tensors in kinds.items():
            stored = stored_weights(tensors)
            if kind == "numbers":
                stored = {key: Stored(each.count, "float32") for key, each in stored.items()}
            Layer.looks_up = True  # type: ignore[method-assign,assignment]
            with tempfile.TemporaryDirectory() as scratch:
                (Path(scratch) / "between").mkdir()
                folder = Path(scratch) / "made"
                made = compile_network(
                    program, target_named("host"), folder, Path(scratch) / "between", stored, "sparse"
                )
                if made.library is None:
                    raise RuntimeError("no library for this machine")
                compiled = CompiledNetwork(made.library, codec.encode(tensors, profile="fast"))
            outputs.append(compiled.run(x))
            contenders[kind] = lambda compiled=compiled, x=x: compiled.run(x)
        if not all(np.allclose(output, outputs[0], rtol=1e-4, atol=1e-5) for output in outputs):
            raise RuntimeError("the kinds compute different things")
        title = f"{name}, {100 * SHARE:.0f} % of the weights, all layers sparse"
        show_times(title, interleaved(contenders, options.seconds), results)
    results.write(options.json)


if __name__ == "__main__":
    main()
