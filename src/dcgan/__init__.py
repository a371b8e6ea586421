"""MNIST in, a tracked, gated, reproducible DCGAN generator out."""

import os
from importlib.util import find_spec

__version__ = "0.1.0"

# A notebook hands its MPLBACKEND on to the programs that it starts, `!dvc repro` too, and where that module is not
# installed, matplotlib cannot be imported. Only then is the variable dropped: in the notebook itself it has its effect.
_scheme, _, _module = os.environ.get("MPLBACKEND", "").partition("://")
if _scheme == "module" and not (_module and find_spec(_module.partition(".")[0])):
    del os.environ["MPLBACKEND"]
