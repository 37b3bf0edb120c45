"""Compile a graph to machine code for processors and GPUs: kernels, schedule, library and runner."""
