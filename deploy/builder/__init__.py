"""A packed directory in, a checked bundle out."""
