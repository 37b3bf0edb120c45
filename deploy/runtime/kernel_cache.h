/* kernel_cache.h - a compiled OpenCL program in a file. */
#ifndef BAYESPRESS_KERNEL_CACHE_H
#define BAYESPRESS_KERNEL_CACHE_H

#include "opencl.h"

/* The program in the file, built; NULL unless it is there, sound, and of this key. */
bp_cl bp_cache_read(const bp_opencl *cl, bp_cl context, bp_cl device, uint64_t key, const char *path);

/* Keep a program in the file, whole or not at all; that it cannot be written is no failure. */
void bp_cache_write(const bp_opencl *cl, bp_cl program, uint64_t key, const char *path);

#endif /* BAYESPRESS_KERNEL_CACHE_H */
