"""Stage `evaluate`: samples of the averaged generator against real images, the discriminator, and what tells of it."""

if __name__ == "__main__":
    import dcgan.system.start  # noqa: F401 it has an effect

from dcgan.checkpoints.weights import restored
from dcgan.classifier.network import load_classifier
from dcgan.config import workspace
from dcgan.config.devices import prepare_device
from dcgan.config.params_file import load_params
from dcgan.data.dataset_file import load_dataset
from dcgan.evaluation.discriminator import evaluate_discriminator
from dcgan.evaluation.quality import measure_quality
from dcgan.evaluation.report import headline_metrics, summary_line
from dcgan.evaluation.samples import sampler_of
from dcgan.figures.evaluation import save_evaluation
from dcgan.figures.report.inputs import ReportInputs
from dcgan.figures.report.writing import write_report
from dcgan.figures.training import save_training
from dcgan.gan.networks import build_discriminator, build_generator
from dcgan.system.exit import run_stage
from dcgan.system.files import require_writable, sha256_of, write_json
from dcgan.system.tensors_file import load_arrays


def main() -> None:
    """Write reports/evaluation.json and its headlines, reports/evaluation/, reports/report.html and the model card."""
    params = load_params(workspace.PARAMS)
    device, config = prepare_device(params.train), params.evaluate
    dataset = load_dataset(model=params.model)
    classifier = load_classifier(workspace.CLASSIFIER, device=device, num_classes=dataset.num_classes)
    witness = load_classifier(workspace.WITNESS, device=device, name="witness", num_classes=dataset.num_classes)
    generator = restored(build_generator(params.model), workspace.GENERATOR, device=device)
    untrained = build_discriminator(params.model, spectral_norm=params.penalties.spectral_norm)
    discriminator = restored(untrained, workspace.DISCRIMINATOR, device=device)
    inputs = ReportInputs.load(params)
    require_writable(workspace.REPORTS, workspace.MODELS)

    networks = {"classifier": classifier, "witness": witness}
    sampler = sampler_of(generator, params.model)
    quality = measure_quality(sampler, dataset, config, **networks, classifier_config=params.classifier)
    discrimination = evaluate_discriminator(discriminator, params.gan, quality.samples, dataset, seed=config.seed)
    report = {
        "generator_sha256": sha256_of(workspace.GENERATOR),
        "classifier_sha256": sha256_of(workspace.CLASSIFIER),
        "witness_sha256": sha256_of(workspace.WITNESS),
        **quality.report,
        "discriminator": discrimination.report,
        "collapse": load_arrays(workspace.GENERATOR, made_by="train").metadata.get("collapse"),
    }
    save_evaluation(workspace.EVALUATION_FIGURES, quality, discrimination, training=dataset.train)
    save_training(workspace.EVALUATION_FIGURES, inputs.history)
    write_report(inputs, report)
    write_json(workspace.EVALUATION, report)
    write_json(workspace.METRICS, headline_metrics(report))
    print(f"{summary_line(report)}\nreport: {workspace.REPORT}; all metrics: {workspace.EVALUATION}")


if __name__ == "__main__":
    run_stage(main, sizes=("evaluate.num_samples", "evaluate.num_train_on_fake", "evaluate.num_two_sample"))
