"""A posterior in, levels and codebooks out: prune, shrink, pick precisions, encode."""
