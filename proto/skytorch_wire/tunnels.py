"""How a session's own socket is asked for through the port of its server: by HTTP CONNECT."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

__all__ = ["OK", "ask"]

#: The status of a tunnel that is there.
OK = b"200"

_LONGEST_ANSWER = 4096


def ask(connection: socket.socket, name: str) -> bytes:
    """Asks for the tunnel of a name, and returns the status of the answer. Raises OSError.

    What is behind the tunnel says nothing before it is spoken to, so that no byte of it is lost.
    """
    connection.sendall(f"CONNECT {name}:1 HTTP/1.1\r\nHost: {name}:1\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = connection.recv(_LONGEST_ANSWER)
        answer += more
        if not more or len(answer) > _LONGEST_ANSWER or not answer.startswith(b"HTTP/1."[: len(answer)]):
            raise ConnectionRefusedError("it answered otherwise")
    return answer.split(None, 2)[1]
