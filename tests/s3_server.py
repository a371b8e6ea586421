"""A server that speaks S3's protocol, moto's, on this machine."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from moto.server import ThreadedMotoServer

LOGIN = {
    "AWS_ACCESS_KEY_ID": "testing-testing",
    "AWS_SECRET_ACCESS_KEY": "testing-testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}
"""Environment variables; it takes any."""


@contextmanager
def s3_server() -> Iterator[str]:
    """Its address while the block lasts; what it holds is gone then."""
    logging.getLogger("werkzeug").disabled = True
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()
