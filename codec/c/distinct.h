/* distinct.h - private: whether the tensors of a file have names of their own. */
#ifndef BPZ_DISTINCT_H
#define BPZ_DISTINCT_H

#include "directory.h"

/* Whether no two entries have the same name. Every entry must have been read once without an error. */
int bpzi_names_are_distinct(const bpz_file *file);

#endif /* BPZ_DISTINCT_H */
