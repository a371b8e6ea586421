"""Stage `download`: the four IDX files of `data.name`, whole and checked, or made of the images in `data.path`."""

if __name__ == "__main__":
    import dcgan.system.start  # noqa: F401 it has an effect

from dcgan.config.params_file import load_params
from dcgan.config.workspace import PARAMS, RAW
from dcgan.data.classes import refuse_few_of_known
from dcgan.data.files import download_files, write_digits, write_own
from dcgan.system.exit import run_stage


def main() -> None:
    """Put the files of data.name into data/raw: from MNIST_MIRROR, else from data.mirrors, or the user's own."""
    params = load_params(PARAMS)
    refuse_few_of_known(params)
    data = params.data
    if data.name == "images":
        write_own(params, RAW)
    elif data.name == "digits":
        write_digits(RAW)
        print(f"{RAW}: scikit-learn's handwritten digits, scaled to 28x28")
    else:
        download_files(data.name, RAW, mirrors=data.mirrors)


if __name__ == "__main__":
    run_stage(main)
