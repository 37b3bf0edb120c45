/* kernel_cache.h - private: a compiled OpenCL program in a file. */
#ifndef BAYESPRESS_KERNEL_CACHE_H
#define BAYESPRESS_KERNEL_CACHE_H

#include "opencl.h"

/* The program in the file at `path`, built for `device`. NULL when there is none of this key, when other users can have
 * written the file, and when the device rejects it. The caller releases it. */
bpi_cl bpi_cache_read(const bpi_opencl *cl, bpi_cl context, bpi_cl device, uint64_t key, const char *path);

/* Write a program to the file at `path`, as a whole or not at all. Failures are not reported: without a cache the next
 * start compiles again. */
void bpi_cache_write(const bpi_opencl *cl, bpi_cl program, uint64_t key, const char *path);

#endif /* BAYESPRESS_KERNEL_CACHE_H */
