"""The raw files: MNIST and its siblings, scikit-learn's digits, or the user's own, as the same four IDX files."""

from dcgan.data.files.delivery import Delivery, read_delivery
from dcgan.data.files.digits import write_digits
from dcgan.data.files.files import download_files, read_arrays, read_class_names
from dcgan.data.files.known import ARRAYS, DataFile, files_of
from dcgan.data.files.own import read_own, write_own

__all__ = [
    "ARRAYS",
    "DataFile",
    "Delivery",
    "download_files",
    "files_of",
    "read_arrays",
    "read_class_names",
    "read_delivery",
    "read_own",
    "write_digits",
    "write_own",
]
