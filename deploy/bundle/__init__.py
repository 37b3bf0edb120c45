"""What goes to a device: the folder or zip, its manifest, its signature and its weights."""
