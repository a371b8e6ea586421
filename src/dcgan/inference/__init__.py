"""What production installs: numpy, ONNX Runtime and Pillow, never PyTorch.

from dcgan.inference import Generator

pixels = Generator.load("models/generator.onnx").sample(64, digits=3, seed=7)
"""

from dcgan.inference.generator import Generator, ModelInfo

__all__ = ["Generator", "ModelInfo"]
