"""Stage `evaluate`: judge the averaged generator's samples against real images, and the discriminator."""

from pathlib import Path

from dcgan.adapters.dataset_file import load_dataset
from dcgan.adapters.figures.evaluation import save_discriminator, save_quality
from dcgan.adapters.inception import load_inception, measure_fid
from dcgan.adapters.params_file import load_params
from dcgan.adapters.weights import load_classifier, load_remarks, restored
from dcgan.core.devices import prepare_device
from dcgan.core.evaluation.discriminator import judge_discriminator
from dcgan.core.evaluation.quality import measure_quality
from dcgan.core.evaluation.report import describe, headline, headlines
from dcgan.core.evaluation.samples import draw_interpolations, source_of
from dcgan.core.networks import build_discriminator, build_generator
from dcgan.entry import run_stage
from dcgan.files import sha256_of, write_json
from dcgan.tracked import bring_up_to_date

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

    source = source_of(generator, params.model)
    walks = draw_interpolations(source, seed=config.seed)
    quality = measure_quality(source, classifier, dataset, config, classifier_config=params.classifier)
    judged = judge_discriminator(discriminator, params.model, quality.samples, dataset, seed=config.seed)
    fid = measure_fid(inception, quality, dataset)
    yardstick = sha256_of(CLASSIFIER)
    collapse = load_remarks(GENERATOR).get("collapse")
    report = describe(
        quality, dataset, config, classifier_sha256=yardstick, discriminator=judged, fid=fid, collapse=collapse
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
