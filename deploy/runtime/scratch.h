/* scratch.h - private: memory for kernels while they run. */
#ifndef BAYESPRESS_SCRATCH_H
#define BAYESPRESS_SCRATCH_H

#include <stddef.h>

/* What is left of a workspace's scratch. */
typedef struct bp_scratch {
    unsigned char *next;
    size_t left;
} bp_scratch;

/* Kernels that this thread calls take their scratch from here, until the next call. */
void bp_scratch_use(bp_scratch *scratch);

#endif /* BAYESPRESS_SCRATCH_H */
