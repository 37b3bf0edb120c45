"""Whether outputs and files are what they should be: tolerances, sessions, checks of a bundle."""
