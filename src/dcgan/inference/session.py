"""ONNX Runtime sessions: quiet, without spinning threads, and on the hardware that was asked for."""

import contextlib
import ctypes
import io
import os
import re
import warnings
from typing import Any, Literal

from dcgan.system.errors import UnavailableError

Providers = Literal["auto", "cpu", "cuda"]

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
FATAL = 4  # ONNX Runtime's log severity; everything that matters here also comes as an exception
CODE_AND_PLACE = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : |\S*\.(?:cc|h):\d+ .*?\) (?=\S)")


def open_session(content: bytes, *, providers: Providers, strict: bool) -> Any:
    """An `onnxruntime.InferenceSession` of the model in `content`.

    Every operation runs on one thread, since that is as fast for transposed convolutions and makes results
    independent of the thread count; several threads may call `run` at once.

    Raises:
        UnavailableError: CUDA was asked for and not obtained, and `strict`; otherwise, a RuntimeWarning and the CPU.
        ValueError: ONNX Runtime cannot run the model; one line says why.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it reports to its maker otherwise
    import onnxruntime

    onnxruntime.set_default_logger_severity(FATAL)
    wanted = [CUDA, CPU] if providers == "cuda" or (providers == "auto" and _has_cuda(onnxruntime)) else [CPU]
    if CUDA in wanted:
        with contextlib.redirect_stdout(io.StringIO()):  # what is missing shows in the providers obtained
            onnxruntime.preload_dlls()  # finds the CUDA libraries that pip installed
    available = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        session = onnxruntime.InferenceSession(content, _options(onnxruntime), providers=available, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise ValueError(f"ONNX Runtime refuses it: {one_line(error)}") from error
    # What was asked for is not always what is running: without a driver ONNX Runtime takes the CPU in silence.
    if providers == "cuda" and CUDA not in session.get_providers():
        message = "CUDA was asked for, but ONNX Runtime did not get it; install onnxruntime-gpu and a driver"
        if strict:
            raise UnavailableError(f"{message}, or ask for the CPU")
        warnings.warn(f"{message}; running on the CPU", RuntimeWarning, stacklevel=3)
    return session


def one_line(error: Exception) -> str:
    """An error of ONNX Runtime in one line of at most 200 characters, without codes and places in its sources."""
    return " ".join(CODE_AND_PLACE.sub("", str(error)).split())[:200].rstrip(".")


def _options(onnxruntime: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The bytes were read as ONNX; ONNX Runtime must not take them for its own format.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _has_cuda(onnxruntime: Any) -> bool:
    """Whether this ONNX Runtime knows CUDA and a driver reports a device; cheap where there is none."""
    if CUDA not in onnxruntime.get_available_providers():
        return False
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
