"""The network as a graph: read from a file, checked, brought into normal form, written as ONNX."""
