"""Building of a checked bundle from a packed directory."""
