"""Stage `evaluate`: measure the averaged generator's samples against the test images, and the discriminator."""

from pathlib import Path

from dcgan.adapters.dataset_file import load_dataset
from dcgan.adapters.figures import save_confusion, save_grid, save_roc
from dcgan.adapters.mlflow_tracker import load_run_reference, resume_run
from dcgan.adapters.params_file import load_params
from dcgan.adapters.weights import load_weights
from dcgan.core.classifier import Classifier
from dcgan.core.devices import prepare_device
from dcgan.core.evaluation import draw_samples, judge_discriminator, judge_samples, numbers_in, sample_grid, summarise
from dcgan.core.networks import build_discriminator, build_generator
from dcgan.entry import run_stage
from dcgan.files import sha256_of, write_json

MODELS, REPORTS, PLOTS = Path("models"), Path("reports"), Path("reports/plots")


def main() -> None:
    """Judge the samples and the discriminator; write reports/evaluation.json and the plots."""
    params = load_params(Path("params.yaml"))
    device = prepare_device(params.train)
    dataset = load_dataset(Path("data/dataset.safetensors"), report_path=REPORTS / "validation.json")
    generator, discriminator = build_generator(params.model), build_discriminator(params.model)
    classifier = Classifier()
    load_weights(MODELS / "generator.safetensors", generator, made_by="train")
    load_weights(MODELS / "discriminator.safetensors", discriminator, made_by="train")
    load_weights(MODELS / "classifier.safetensors", classifier, made_by="train_classifier")

    samples = draw_samples(generator.to(device).eval(), params.model, params.evaluate)
    figures = judge_samples(samples, classifier=classifier.to(device).eval(), dataset=dataset, config=params.evaluate)
    judged = judge_discriminator(discriminator.to(device).eval(), samples, dataset=dataset, config=params.evaluate)

    save_grid(PLOTS / "samples.png", sample_grid(samples))
    save_roc(PLOTS, judged.roc, auc=judged.roc_auc)
    save_confusion(PLOTS, figures.confusion)
    origin = {
        "num_samples": params.evaluate.num_samples,
        "num_test_images": len(dataset.test),
        "seed": params.evaluate.seed,
        "dataset": dataset.name,
        "dataset_sha256": dataset.sha256,
        "classifier_sha256": sha256_of(MODELS / "classifier.safetensors"),
    }
    summary = summarise(figures, judged)
    write_json(REPORTS / "evaluation.json", origin | summary)

    reference = load_run_reference(MODELS / "run.json")
    history = REPORTS / "history.jsonl"
    with resume_run(reference, tracking=params.tracking, history=history, params=params.flattened()) as run:
        run.log_metrics(numbers_in(summary))
        pictures = (PLOTS / f"{name}.png" for name in ("samples", "roc", "confusion"))
        run.log_artifacts(REPORTS / "evaluation.json", *pictures, folder="evaluation")
    print(f"fcd {figures.fcd:.3f} ({figures.fcd / figures.fcd_floor:.1f} times its floor of {figures.fcd_floor:.3f})")


if __name__ == "__main__":
    run_stage(main)
