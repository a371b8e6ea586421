"""Stage `train_witness`: a second digit classifier, of another architecture and seed, which `evaluate` asks as well."""

if __name__ == "__main__":
    import dcgan.system.start  # noqa: F401 it has an effect

from dcgan.system.exit import run_stage
from train_classifier import train_network


def main() -> None:
    """Train the witness as the stage `train_classifier` trains the classifier."""
    train_network("witness")


if __name__ == "__main__":
    run_stage(main, sizes=("classifier.batch_size",))
