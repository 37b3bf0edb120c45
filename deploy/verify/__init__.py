"""Verification of files and outputs: checks of a bundle, runtimes in this process, tolerances."""
