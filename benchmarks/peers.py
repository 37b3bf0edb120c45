"""Other runtimes for phones, on this machine and one thread, where their packages are installed.

    pip install --no-deps MNN ncnn pnnx
    pip install torch==2.13.0 litert-torch executorch

MNN and ncnn take an ONNX model by their own converters, LiteRT and ExecuTorch (both with XNNPACK) the exported program.
The second line brings some eighty packages: give it an environment of its own, and install bayespress there too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

Runner = Callable[[], np.ndarray]


def peers(model: bytes, program: Any, x: np.ndarray) -> dict[str, Runner]:
    """A function for each installed runtime that gives a network's output for `x`.

    model, program  the network as ONNX, and as a torch.export program
    """
    found: dict[str, Runner] = {}
    for label, module, make_of_program in (
        ("LiteRT", "litert_torch", _litert),
        ("ExecuTorch", "executorch", _executorch),
    ):
        if find_spec(module) is not None:
            found[label] = make_of_program(program, np.ascontiguousarray(x))
    for label, needed, make in (("MNN", ("MNN",), _mnn), ("ncnn", ("ncnn", "pnnx"), _ncnn)):
        if all(find_spec(module) is not None for module in needed):
            with tempfile.TemporaryDirectory() as scratch:
                path = Path(scratch) / "model.onnx"
                path.write_bytes(model)
                found[label] = make(path, np.ascontiguousarray(x))
    return found


def _quietly(command: list[str], folder: Path) -> None:
    # MNN's converter would install packages of its own as it starts, and other releases of ours.
    environment = os.environ | {"PIP_NO_INDEX": "1"}
    subprocess.run(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, env=environment
    )


def _mnn(model: Path, x: np.ndarray) -> Runner:
    mnn: Any = import_module("MNN")
    converted = model.with_suffix(".mnn")
    convert = "import sys; from MNN.tools import mnnconvert; sys.exit(mnnconvert.main())"
    arguments = ["-f", "ONNX", "--modelFile", str(model), "--MNNModel", str(converted), "--bizCode", "none"]
    _quietly([sys.executable, "-c", convert, *arguments], model.parent)
    network = mnn.Interpreter(str(converted))
    session = network.createSession({"numThread": 1, "backend": "CPU", "precision": "high"})
    source = mnn.Tensor(x.shape, mnn.Halide_Type_Float, x, mnn.Tensor_DimensionType_Caffe)
    given, result = network.getSessionInput(session), network.getSessionOutput(session)

    def run() -> np.ndarray:
        given.copyFrom(source)
        network.runSession(session)
        return np.asarray(result.getNumpyData()).ravel()  # getData makes a number of Python of each output

    return run


def _litert(program: Any, x: np.ndarray) -> Runner:
    import torch

    interpreter: Any = import_module("ai_edge_litert.interpreter")
    converted = import_module("litert_torch").convert(program.module(), (torch.from_numpy(x),))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.tflite"
        converted.export(str(path))
        network = interpreter.Interpreter(model_content=path.read_bytes(), num_threads=1)
    network.allocate_tensors()
    source, result = network.get_input_details()[0]["index"], network.get_output_details()[0]["index"]

    def run() -> np.ndarray:
        network.set_tensor(source, x)
        network.invoke()
        return np.asarray(network.get_tensor(result)).ravel()

    return run


def _executorch(program: Any, x: np.ndarray) -> Runner:
    import torch

    partitioner = import_module("executorch.backends.xnnpack.partition.xnnpack_partitioner").XnnpackPartitioner()
    lowered = import_module("executorch.exir").to_edge_transform_and_lower(program, partitioner=[partitioner])
    runtime = import_module("executorch.runtime").Runtime.get()
    loaded = runtime.load_program(lowered.to_executorch().buffer)
    method, source = loaded.load_method("forward"), torch.from_numpy(x)

    def run() -> np.ndarray:
        return np.asarray(method.execute([source])[0]).ravel()

    run.loaded = loaded  # type: ignore[attr-defined]  # kept alive
    return run


def _ncnn(model: Path, x: np.ndarray) -> Runner:
    ncnn: Any = import_module("ncnn")
    spec = find_spec("pnnx")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    converter = next((str(Path(folder) / "pnnx") for folder in folders if (Path(folder) / "pnnx").is_file()), None)
    _quietly([converter or shutil.which("pnnx") or "pnnx", str(model)], model.parent)
    network = ncnn.Net()
    network.opt.num_threads = 1
    network.load_param(str(model.with_suffix(".ncnn.param")))
    network.load_model(str(model.with_suffix(".ncnn.bin")))

    def run() -> np.ndarray:
        extractor = network.create_extractor()
        extractor.input("in0", ncnn.Mat(x[0]))
        return np.array(extractor.extract("out0")[1]).ravel()

    run.network = network  # type: ignore[attr-defined]  # kept alive
    return run
