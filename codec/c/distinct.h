/* distinct.h - private: whether all tensors of a file have different names. */
#ifndef BPZ_DISTINCT_H
#define BPZ_DISTINCT_H

#include "directory.h"

/* Whether no two entries have the same name. Every entry must have been read before, without an error. */
int bpzi_names_are_distinct(const bpz_file *file);

#endif /* BPZ_DISTINCT_H */
