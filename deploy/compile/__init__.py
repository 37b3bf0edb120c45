"""A graph to machine code: kernels, schedule, library and runner, for processors and for GPUs."""
