/* kernel_cache.h - a compiled OpenCL program in a file. */
#ifndef BAYESPRESS_KERNEL_CACHE_H
#define BAYESPRESS_KERNEL_CACHE_H

#include "opencl.h"

/* The program in the file, built; NULL unless it is there, sound, and of this key. */
bpi_cl bpi_cache_read(const bpi_opencl *cl, bpi_cl context, bpi_cl device, uint64_t key, const char *path);

/* Keep a program in the file, whole or not at all; that it cannot be written is no failure. */
void bpi_cache_write(const bpi_opencl *cl, bpi_cl program, uint64_t key, const char *path);

#endif /* BAYESPRESS_KERNEL_CACHE_H */
