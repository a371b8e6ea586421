"""The raw files: MNIST and its siblings from mirrors, or scikit-learn's digits, as the same four IDX files."""

from dcgan.data.files.digits import write_digits
from dcgan.data.files.files import ARRAYS, DataFile, download_files, files_of, read_arrays

__all__ = ["ARRAYS", "DataFile", "download_files", "files_of", "read_arrays", "write_digits"]
