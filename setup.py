"""Only what pyproject.toml cannot say: the C extension is built by cffi."""

from setuptools import setup

setup(cffi_modules=["codec/build_cffi.py:ffibuilder"])
