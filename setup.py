"""The one thing that pyproject.toml cannot say: the C extensions, described in their build_cffi.py."""

from setuptools import setup

setup(cffi_modules=["codec/build_cffi.py:ffibuilder", "train/kernels/build_cffi.py:ffibuilder"])
