"""Kernels as TVM PrimFuncs: the package's own dense and sparse kernels, and schedules for TVM's dense kernels."""
