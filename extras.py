"""Which extra of bayespress brings which package: what pyproject.toml says, by the names that Python imports."""

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
    """What to do about a missing package, as the end of a sentence.

    package  its name, as Python imports it
    wanted   extra that brings all that the job at hand needs; named if it brings the package, before other extras

    >>> install_remedy("torch", "deploy")
    "install it with `pip install 'bayespress[deploy]'`"
    """
    bringing = [extra for extra, packages in PACKAGES.items() if package in packages]
    if not bringing:
        return "install it"
    extra = wanted if wanted in (*bringing, ALL) else bringing[0]
    return f"install it with `pip install 'bayespress[{extra}]'`"
