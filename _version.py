"""The version of the package; pyproject.toml reads it from here, and tests compare the C headers with it."""

__version__ = "0.1.0"
