"""How a model is run, as commands and programs that work as printed, in the folder of the workspace."""

from typing import Literal, NamedTuple

from dcgan.config.schema import ModelConfig
from dcgan.config.workspace import ONNX_GENERATOR


class Example(NamedTuple):
    """A way to run a model."""

    title: str
    language: Literal["bash", "python"]
    code: str


def examples_for(model: ModelConfig) -> list[Example]:
    """The command line, Python, HTTP, and ONNX Runtime without this package."""
    path = ONNX_GENERATOR.as_posix()
    label = label_shown(model)
    digit, digits = (f" --digit {label}", f", digits={label}") if model.conditional else ("", "")
    return [
        Example(
            "Command line",
            "bash",
            f"dcgan info --model {path}\ndcgan generate --model {path} --count 64 --seed 7{digit} --out samples.png",
        ),
        Example(
            "Python",
            "python",
            "from dcgan.inference import Generator\n\n"
            f'generator = Generator.load("{path}")\n'
            f"pixels = generator.sample(10, seed=7{digits})  # uint8 [10, 28, 28]: 0 background, 255 ink",
        ),
        Example("HTTP: a page and an API at http://127.0.0.1:8000", "bash", f"dcgan serve --model {path}"),
        Example("ONNX Runtime alone: the same images as seed 7 above", "python", _onnxruntime(model, path)),
    ]


def label_shown(model: ModelConfig) -> int:
    """A label that the model takes."""
    return min(3, model.num_classes - 1)


def _onnxruntime(model: ModelConfig, path: str) -> str:
    shape = f"(10, {model.latent_dim})"
    latents = {
        "normal": f"rng.standard_normal({shape}, dtype=np.float32)",
        "uniform": f"2 * rng.random({shape}, dtype=np.float32) - 1",
    }[model.latent_distribution]
    labels = f', "labels": np.full(10, {label_shown(model)})' if model.conditional else ""
    note = f"  # labels: 0 to {model.num_classes - 1}" if model.conditional else ""
    return (
        "import numpy as np\n"
        "import onnxruntime\n\n"
        f'session = onnxruntime.InferenceSession("{path}", providers=["CPUExecutionProvider"])\n'
        "rng = np.random.Generator(np.random.Philox(7))\n"
        f"latents = {latents}\n"
        f'(pixels,) = session.run(["pixels"], {{"latents": latents{labels}}}){note}'
    )
