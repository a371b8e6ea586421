"""Stage `evaluate`: judge the averaged generator's samples against real images, and the discriminator."""

from pathlib import Path

from dcgan.checkpoints.weights import restored
from dcgan.classifier.network import load_classifier
from dcgan.config.devices import prepare_device
from dcgan.config.params_file import load_params
from dcgan.data.dataset_file import load_dataset
from dcgan.evaluation.discriminator import judge_discriminator
from dcgan.evaluation.inception import load_inception, measure_fid
from dcgan.evaluation.quality import measure_quality
from dcgan.evaluation.report import describe, headline, headlines
from dcgan.evaluation.samples import sample_interpolations, sampler_of
from dcgan.figures.evaluation import save_discriminator, save_quality
from dcgan.gan.networks import build_discriminator, build_generator
from dcgan.system.exit import run_stage
from dcgan.system.files import sha256_of, write_json
from dcgan.system.tensors_file import load_arrays
from dcgan.tracking.sync import bring_up_to_date

MODELS, REPORTS, PLOTS = Path("models"), Path("reports"), Path("reports/plots")
CLASSIFIER, GENERATOR = MODELS / "classifier.safetensors", MODELS / "generator.safetensors"


def main() -> None:
    """Write reports/evaluation.json, its headlines in reports/metrics/, and the plots."""
    params = load_params(Path("params.yaml"))
    device, config = prepare_device(params.train), params.evaluate
    dataset = load_dataset(Path("data/dataset.safetensors"), report_path=REPORTS / "validation.json")
    generator = restored(build_generator(params.model), GENERATOR, device=device)
    untrained = build_discriminator(params.model, spectral_norm=params.penalties.spectral_norm)
    discriminator = restored(untrained, MODELS / "discriminator.safetensors", device=device)
    classifier = load_classifier(CLASSIFIER, device=device)
    inception = load_inception(Path(config.inception_weights), device=device) if config.inception_weights else None

    source = sampler_of(generator, params.model)
    walks = sample_interpolations(source, seed=config.seed)
    quality = measure_quality(source, classifier, dataset, config, classifier_config=params.classifier)
    judged = judge_discriminator(discriminator, params.model, quality.samples, dataset, seed=config.seed)
    fid = measure_fid(inception, quality, dataset)
    reference = sha256_of(CLASSIFIER)
    collapse = load_arrays(GENERATOR, made_by="train").metadata.get("collapse")
    report = describe(
        quality, dataset, config, classifier_sha256=reference, discriminator=judged, fid=fid, collapse=collapse
    )

    save_quality(PLOTS, quality, interpolations=walks, training=dataset.train)
    save_discriminator(PLOTS, judged)
    write_json(REPORTS / "evaluation.json", {"generator_sha256": sha256_of(GENERATOR), **report})
    for rated, figures in headlines(report).items():
        write_json(REPORTS / f"metrics/{rated}.json", figures)

    bring_up_to_date(params, to="evaluate")
    print(headline(report))


if __name__ == "__main__":
    run_stage(main)
