"""What production installs: numpy, ONNX Runtime and Pillow, never PyTorch.

from dcgan.inference import Generator

pixels = Generator.pretrained().sample(64, digits=3, seed=7)
"""

from dcgan.inference.generator import Generator
from dcgan.inference.model_info import ModelInfo

__all__ = ["Generator", "ModelInfo"]
