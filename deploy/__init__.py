"""Bytes and a graph in, a bundle out; built, verified, timed."""
