"""Ray: started on this machine while a block lasts, or a cluster that runs already."""

import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dcgan.system.cores import usable_cores
from dcgan.system.errors import DcganError, UnavailableError, UsageError
from dcgan.system.redaction import redacted

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it reports to its maker otherwise
    "RAY_worker_niceness": "0",  # on this machine: as threads of this process would be
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1",  # how old what a killed driver leaves may be
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
"""Environment variables that are set before Ray is imported, unless the user set them."""
CONNECT_SECONDS, JOIN_SECONDS = 5.0, 20.0
"""How long to wait for a machine to answer, and for Ray on it: by itself Ray would wait for two minutes."""
ANSWER_SECONDS = 120.0
"""For a machine of the cluster to start a worker and to import PyTorch."""
OBJECT_STORE_BYTES = 2**30
"""Shared memory of a Ray on this machine, taken as it is used: a model passes through it."""
THIS_MACHINE = "local"
"""The address that starts Ray on this machine, for as long as the command lasts."""


@contextmanager
def connected(address: str, *, num_cpus: int | None = None) -> Iterator[Any]:
    """Ray's module, connected to the cluster at `address`; for `local`, Ray runs on this machine while the block lasts.

    There it has `num_cpus` workers; None: one for each core.

    Raises:
        UsageError: the address is not one of a cluster.
        UnavailableError: no Ray answers there within half a minute.
        ModuleNotFoundError: Ray is not installed.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL", "configure_logging": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Ray's and Optuna's own plans
        if address == THIS_MACHINE:
            ray.init(
                address=address, num_cpus=num_cpus or usable_cores(), include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES, **quiet,
            )  # fmt: skip
        else:
            refuse_unreachable(address)
            ray.init(address=address, **quiet)
        try:
            yield ray
        finally:
            ray.shutdown()


def refuse_unreachable(address: str) -> None:
    """Raise UsageError or UnavailableError unless Ray answers at HOST:PORT, or on this machine for `auto`."""
    advice = "start Ray there (`ray start --head`), or correct --address or RAY_ADDRESS"
    if address != "auto":
        host, _, port = address.rpartition(":")
        if "://" in address or not host or not port.isdecimal():
            raise UsageError(
                f"--address: {redacted(address)} is not HOST:PORT or auto; name the head node's, as `ray start --head`"
                " prints it, and run this on a machine of the cluster"
            )
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise UnavailableError(f"Ray at {address} cannot be reached ({error}): {advice}") from error
    # In a process of its own: nothing in this one could end Ray's attempt.
    attempt = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False)"
    try:
        subprocess.run(  # noqa: S603 our own words
            [sys.executable, "-c", attempt, address], capture_output=True, text=True, check=True, timeout=JOIN_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"Ray at {address} does not answer: {advice}") from None
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["unknown"])[-1]
        raise UnavailableError(f"Ray at {address} cannot be used ({redacted(reason)}): {advice}") from None


def refuse_too_large(ray: Any, *, cpus: int, gpus: float) -> None:
    """Raise UsageError if no machine has the cores and GPUs that one trial asks for: Ray would wait for ever."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(machine.get("CPU", 0) >= cpus and machine.get("GPU", 0) >= gpus for machine in machines):
        most = " or ".join(f"{each.get('CPU', 0):g} CPUs and {each.get('GPU', 0):g} GPUs" for each in machines)
        raise UsageError(
            f"a trial asks for {cpus} CPUs and {gpus:g} GPUs, and the machines have {most}; lower --cpus-per-trial or"
            " --gpus-per-trial"
        )


def has_gpu(ray: Any) -> bool:
    """Whether a machine of the cluster has a GPU."""
    return bool(ray.cluster_resources().get("GPU", 0))


def on_each_machine(ray: Any, function: Callable[..., object], *arguments: object) -> None:
    """Call a function on every machine of the cluster; it may raise an error of the project.

    Raises:
        DcganError: what it raised.
        UnavailableError: a machine has not answered in time, or could not import it.
    """
    from ray.exceptions import GetTimeoutError, RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(function)
    for node in (node for node in ray.nodes() if node["Alive"]):
        name = node["NodeManagerHostname"]
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        try:
            ray.get(task.options(scheduling_strategy=there).remote(*arguments), timeout=ANSWER_SECONDS)
        except GetTimeoutError:
            raise UnavailableError(f"{name}: started no worker in time; look at Ray's logs there") from None
        except RayTaskError as error:
            if isinstance(error.cause, DcganError):
                raise error.cause from None
            raise UnavailableError(f"{name}: {_last_line(error)}; install this project there") from None
        except RayError as error:
            raise UnavailableError(f"{name}: {_last_line(error)}; look at Ray's logs there") from None


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
