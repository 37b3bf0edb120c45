/* scratch.h - private: memory for kernels while they run. */
#ifndef BAYESPRESS_SCRATCH_H
#define BAYESPRESS_SCRATCH_H

#include <stddef.h>

/* The scratch memory that is left. */
typedef struct bpi_scratch {
    unsigned char *next;
    size_t left;
} bpi_scratch;

/* From now on kernels that this thread calls take their scratch memory from here. The structure must stay as long as
 * they run. */
void bpi_scratch_use(bpi_scratch *scratch);

#endif /* BAYESPRESS_SCRATCH_H */
