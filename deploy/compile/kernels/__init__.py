"""Kernels as TVM PrimFuncs: schedules of dense ones, and sparse ones written out."""
