"""The generator as one ONNX file, compared with PyTorch's."""
