"""What tests of several rooms share."""

import socket
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port
