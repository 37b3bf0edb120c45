"""The one thing that pyproject.toml cannot say: the C extension, described in codec/build_cffi.py."""

from setuptools import setup

setup(cffi_modules=["codec/build_cffi.py:ffibuilder"])
