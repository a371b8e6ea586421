"""Stage `export`: the averaged generator as one ONNX file for production, proven to draw what PyTorch draws."""

if __name__ == "__main__":
    import dcgan.system.start  # noqa: F401 it has an effect

from dcgan.checkpoints.weights import load_weights
from dcgan.config.params_file import load_params, params_sha256
from dcgan.config.schema import Params
from dcgan.config.workspace import DATASET, EXPORT, GENERATOR, ONNX_GENERATOR, PARAMS
from dcgan.data.dataset_file import CLASSES
from dcgan.export.onnx_export import export_generator, prove_parity
from dcgan.gan.networks import build_generator
from dcgan.system.exit import run_stage
from dcgan.system.files import sha256_of, write_bytes, write_json
from dcgan.system.tensors_file import load_arrays


def main() -> None:
    """Turn models/generator.safetensors into models/generator.onnx; write reports/export.json."""
    params = load_params(PARAMS, needs_files=False)
    model, opset = params.model, params.export.opset
    generator = build_generator(model)
    load_weights(GENERATOR, generator, made_by="train")

    content = export_generator(generator, model, opset=opset, origin=origin_of(params))
    report = prove_parity(content, generator, model)
    write_bytes(ONNX_GENERATOR, content)
    write_json(EXPORT, {"opset": opset, "generator_sha256": sha256_of(GENERATOR), **report})

    difference = report["parity"]["max_difference"]
    print(f"{ONNX_GENERATOR}: {len(content):,} bytes; its images differ from PyTorch's by at most {difference:.1e}")


def origin_of(params: Params) -> dict[str, str]:
    """Where the model comes from, in digests: neither path nor time nor run, so equal models have equal bytes."""
    metadata = load_arrays(DATASET, made_by="validate").metadata
    names = {"class_names": metadata[CLASSES]} if CLASSES in metadata else {}
    return {
        "dataset": params.data.name,
        "dataset_sha256": sha256_of(DATASET),
        "params_sha256": params_sha256(params),
        "generator_sha256": sha256_of(GENERATOR),
        **names,
    }


if __name__ == "__main__":
    run_stage(main, sizes=("model.generator_channels", "model.latent_dim"))
