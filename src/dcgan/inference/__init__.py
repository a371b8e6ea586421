"""What production installs: numpy, ONNX Runtime and Pillow, never PyTorch."""
