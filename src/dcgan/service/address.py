"""Where the service listens: names and addresses, of either version of the Internet Protocol."""

import errno
import ipaddress
import socket

from dcgan.system.errors import UnavailableError, UsageError

BACKLOG = 2048
EVERY_IPV6 = "::"
EVERY_IPV4 = "0.0.0.0"  # noqa: S104 it is asked for


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on a port: one, or, for `::`, one for each version; port 0 is any free one.

    Two sockets instead of one for both: so each client has the address that it is known by.

    Raises:
        UnavailableError: the address is in use, or is not this machine's.
        UsageError: the host is empty, or the port out of range.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"--port (or PORT): {port} is out of range; expected 0 to 65535")
    if not host:
        raise UsageError(f"--host: empty; name an address, as 127.0.0.1, or {EVERY_IPV4} for all of this machine's")
    host = _without_brackets(host)
    first = _listen(host, port)
    if first.getsockname()[0] != EVERY_IPV6:  # however it was written
        return [first]
    try:
        return [first, _listen(EVERY_IPV4, first.getsockname()[1])]
    except UnavailableError:
        first.close()
        raise


def url_of(host: str, port: int) -> str:
    """The address of a service as clients write it."""
    return f"http://{_authority(_without_brackets(host), port)}"


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)  # IPv4, if there is one
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        place = _authority(host, port)
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise UnavailableError(f"{place}: is in use; choose another --port or --host") from error
        reason = _reason(error)
        raise UnavailableError(f"{place}: cannot be used ({reason}); choose another --port or --host") from error


def _reason(error: OSError | UnicodeError) -> str:
    """What the system says, without the call that it says it of."""
    if isinstance(error, UnicodeError):
        return "not a host name"
    return str(error.strerror or error).partition(" (while attempting")[0]


def _without_brackets(host: str) -> str:
    """An IPv6 address that came as in a URL."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def _authority(host: str, port: int) -> str:
    try:
        return f"[{host}]:{port}" if ipaddress.ip_address(host).version == 6 else f"{host}:{port}"
    except ValueError:
        return f"{host}:{port}"
