"""What Python, NumPy, PyTorch and the operating system raise when memory runs out, as one line."""

import errno
import re
from collections.abc import Sequence

_WORDS = re.compile(
    r"out of memory|can't allocate memory|not enough memory|_ALLOC_FAILED|size calculation overflowed|"
    r"multiplication overflow|bad_alloc",
    re.IGNORECASE,
)
"""PyTorch raises RuntimeError for a lack of memory too, on either device."""
_AMOUNT = re.compile(r"to allocate (\d[\d.]*) ?(\w+)")


def is_out_of_memory(error: Exception) -> bool:
    """Whether this says that memory ran out, the machine's or a GPU's."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(_WORDS.search(str(error))))


def describe_out_of_memory(error: Exception, *, sizes: Sequence[str]) -> str:
    """Which memory, how much was asked for at once, and the parameters to lower."""
    text = str(error)
    memory = "GPU memory" if re.search("CUDA|CUBLAS", text) else "memory"
    asked = _AMOUNT.search(text)
    amount = f" ({_readable(asked[1], asked[2])} were asked for at once)" if asked else ""
    return f"not enough {memory}{amount}; lower {' or '.join(sizes) or 'the sizes that were asked for'}"


def _readable(number: str, unit: str) -> str:
    return f"{float(number) / 2**30:,.1f} GiB" if unit == "bytes" else f"{number.rstrip('.')} {unit}"
