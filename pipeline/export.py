"""Stage `export`: the averaged generator as one ONNX file for production, proven to draw what PyTorch draws."""

from pathlib import Path

from dcgan.checkpoints.weights import load_weights
from dcgan.config.params_file import load_params, params_sha256
from dcgan.config.schema import NUM_CLASSES, Params
from dcgan.export.onnx_export import examine, export_generator
from dcgan.gan.networks import build_generator
from dcgan.system.exit import run_stage
from dcgan.system.files import read_json, sha256_of, write_bytes, write_json
from dcgan.tracking.gates import EvaluationFigures

MODELS, REPORTS = Path("models"), Path("reports")
GENERATOR = MODELS / "generator.safetensors"


def main() -> None:
    """Turn models/generator.safetensors into models/generator.onnx; write reports/export.json."""
    params = load_params(Path("params.yaml"))
    model, opset = params.model, params.export.opset
    metadata = describe(params)
    generator = build_generator(model)
    load_weights(GENERATOR, generator, made_by="train")

    content = export_generator(
        generator, conditional=model.conditional, latent_dim=model.latent_dim, opset=opset, metadata=metadata
    )
    report = examine(content, generator, model)
    write_bytes(MODELS / "generator.onnx", content)
    write_json(REPORTS / "export.json", {"opset": opset, "generator_sha256": sha256_of(GENERATOR), **report})

    difference = report["parity"]["max_difference"]
    print(f"models/generator.onnx: {len(content):,} bytes, at most {difference:.1e} from PyTorch's images")


def describe(params: Params) -> dict[str, str]:
    """What the ONNX file says about itself; neither path nor time nor run, so equal models have equal bytes."""
    evaluation = REPORTS / "evaluation.json"
    figures = EvaluationFigures.from_report(read_json(evaluation, made_by="evaluate"), path=evaluation)
    return {
        "latent_dim": str(params.model.latent_dim),
        "latent_distribution": params.model.latent_distribution,
        "num_classes": str(NUM_CLASSES if params.model.conditional else 0),
        "dataset": params.data.name,
        "dataset_sha256": figures.dataset_sha256,
        "params_sha256": params_sha256(params),
    }


if __name__ == "__main__":
    run_stage(main)
