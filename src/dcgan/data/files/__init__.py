"""The raw files: MNIST and its siblings from mirrors, or scikit-learn's digits, as the same four IDX files."""

from dcgan.data.files.digits import write_digits
from dcgan.data.files.files import download_files, read_arrays
from dcgan.data.files.known import ARRAYS, DataFile, files_of

__all__ = ["ARRAYS", "DataFile", "download_files", "files_of", "read_arrays", "write_digits"]
