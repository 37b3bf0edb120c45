"""The bundle that is copied to a device: its files, its manifest, its signature and its weights."""
