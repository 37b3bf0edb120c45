"""Other runtimes for phones, on this machine and one thread, where their packages are installed.

    pip install --no-deps MNN ncnn pnnx

Each takes an ONNX model by its own converter. LiteRT and ExecuTorch run here as well, but their converters bring a
TensorFlow or a PyTorch of their own, which this environment must not have.
"""

from __future__ import annotations

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


def peers(model: bytes, x: np.ndarray) -> dict[str, Runner]:
    """A function for each installed runtime that gives the model's output for `x`."""
    found: dict[str, Runner] = {}
    for label, needed, make in (("MNN", ("MNN",), _mnn), ("ncnn", ("ncnn", "pnnx"), _ncnn)):
        if all(find_spec(module) is not None for module in needed):
            with tempfile.TemporaryDirectory() as scratch:
                path = Path(scratch) / "model.onnx"
                path.write_bytes(model)
                found[label] = make(path, np.ascontiguousarray(x))
    return found


def _quietly(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def _mnn(model: Path, x: np.ndarray) -> Runner:
    mnn: Any = import_module("MNN")
    converted = model.with_suffix(".mnn")
    convert = "import sys; from MNN.tools import mnnconvert; sys.exit(mnnconvert.main())"
    arguments = ["-f", "ONNX", "--modelFile", str(model), "--MNNModel", str(converted), "--bizCode", "none"]
    _quietly([sys.executable, "-c", convert, *arguments], model.parent)
    network = mnn.Interpreter(str(converted))
    session = network.createSession({"numThread": 1, "backend": "CPU", "precision": "high"})
    source = mnn.Tensor(x.shape, mnn.Halide_Type_Float, x, mnn.Tensor_DimensionType_Caffe)
    given = network.getSessionInput(session)

    def run() -> np.ndarray:
        given.copyFrom(source)
        network.runSession(session)
        return np.array(network.getSessionOutput(session).getData()).ravel()

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
