/* scratch.h - private: memory for kernels while they run. */
#ifndef BAYESPRESS_SCRATCH_H
#define BAYESPRESS_SCRATCH_H

#include <stddef.h>

/* What is left of a workspace's scratch. */
typedef struct bpi_scratch {
    unsigned char *next;
    size_t left;
} bpi_scratch;

/* Kernels that this thread calls take their scratch from here, until the next call. */
void bpi_scratch_use(bpi_scratch *scratch);

#endif /* BAYESPRESS_SCRATCH_H */
