"""The packages of each extra of bayespress, as in pyproject.toml but by import name."""

from __future__ import annotations

PACKAGES = {
    "train": ("torch", "lightning", "PIL", "pooch", "sklearn", "tensorboard"),
    "compress": ("torch", "onnx", "optuna", "torch_pruning"),
    "report": ("altair", "jinja2", "PIL", "vl_convert"),
    "deploy": (
        "torch", "altair", "cryptography", "jinja2", "onnx", "onnxruntime", "onnxscript", "tvm", "tvm_ffi",
        "vl_convert", "wasmtime", "ziglang",
    ),
}  # fmt: skip
ALL = "all"


def install_remedy(package: str, wanted: str = "") -> str:
    """The remedy for a missing package, as the end of a sentence.

    package  import name of the package
    wanted   the extra with all packages of the current command; it is preferred if it installs the package

    >>> install_remedy("torch", "deploy")
    "install it with `pip install 'bayespress[deploy]'`"
    """
    extras = [extra for extra, packages in PACKAGES.items() if package in packages]
    if not extras:
        return "install it"
    extra = wanted if wanted in (*extras, ALL) else extras[0]
    return f"install it with `pip install 'bayespress[{extra}]'`"
