"""What pyproject.toml cannot say: the C extensions, and that build scripts stay out of the wheel."""

from __future__ import annotations

from setuptools import setup
from setuptools.command.build_py import build_py

_BUILD_SCRIPTS = ("setup", "build_cffi")


class BuildPy(build_py):
    """Takes the modules of the packages without the scripts that only building needs."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        found: list[tuple[str, str, str]] = super().find_package_modules(package, package_dir)
        return [entry for entry in found if entry[1] not in _BUILD_SCRIPTS]


setup(
    cffi_modules=["codec/build_cffi.py:ffibuilder", "train/kernels/build_cffi.py:ffibuilder"],
    cmdclass={"build_py": BuildPy},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},  # both extensions keep to the limited API
)
