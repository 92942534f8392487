"""A server's port and a session's local socket, given connections that say the wrong thing, half of it, or nothing."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from contextlib import suppress

import grpc

from skytorch_wire import PROTOCOL_VERSION, service_pb2, sessions_pb2, sessions_pb2_grpc
from tests.faults.traces import until

from .fuzzed import fuzzed, held

_SECONDS = 1.0
_SILENT = 50
_SETTLE_SECONDS = 40.0
_AT_A_TIME = 8


def beside_a_bystander(connections: int, seed: int) -> tuple[str, list[str]]:
    """So many connections to a server of their own; what came of them, and what was wrong."""
    with fuzzed() as (place, server, problems):
        before = held(server)
        created = _create(place)
        host, _, port = place.rpartition(":")
        visits = _Visits((host, int(port)), created, seed)
        silent = [socket.create_connection((host, int(port)), _SECONDS) for _ in range(min(_SILENT, connections))]
        threads = [threading.Thread(target=visits.make, args=(connections // _AT_A_TIME,)) for _ in range(_AT_A_TIME)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for connection in silent:
            connection.settimeout(_SETTLE_SECONDS)
            # It is shown out, however long it would have stayed.
            with suppress(OSError):
                if connection.recv(1):
                    problems.append("a connection that said nothing was answered")
            connection.close()
        _works(place, created, problems)
        until(lambda: held(server).descriptors <= before.descriptors + _OWN, _SETTLE_SECONDS)
        after = held(server)
        if after.descriptors > before.descriptors + _OWN:
            problems.append(f"the server has {after.descriptors} descriptors open, and had {before.descriptors}")
        told = ", ".join(f"{what} {count}" for what, count in visits.ends.most_common())
    return f"{sum(visits.ends.values())} connections: {told}; the server's front: {before} -> {after}", problems


# Of the session that is made here: its process's connection, its sentinel, its channel.
_OWN = 8


def _create(place: str) -> sessions_pb2.CreateSessionResponse:
    with grpc.insecure_channel(place) as channel:
        request = sessions_pb2.CreateSessionRequest(
            name="fuzzed", capabilities=service_pb2.Capabilities(protocol_version=PROTOCOL_VERSION)
        )
        created: sessions_pb2.CreateSessionResponse = sessions_pb2_grpc.SessionsStub(channel).Create(
            request, metadata=(("authorization", "Bearer of-alice"),), timeout=60
        )
        return created


def _works(place: str, created: sessions_pb2.CreateSessionResponse, problems: list[str]) -> None:
    """The session that was fuzzed is still there, and so is who asks for it."""
    with grpc.insecure_channel(place) as channel:
        request = sessions_pb2.GetSessionRequest(session_id=created.session.session_id)
        session = sessions_pb2_grpc.SessionsStub(channel).Get(
            request, metadata=(("authorization", "Bearer of-alice"),), timeout=60
        )
    if session.state != sessions_pb2.SESSION_STATE_ACTIVE:
        problems.append(f"the fuzzed session has ended: {session.reason}")


class _Visits:
    """Connections, one after the other, by several threads."""

    def __init__(self, door: tuple[str, int], created: sessions_pb2.CreateSessionResponse, seed: int) -> None:
        self._door = door
        self._created = created
        self._random = random.Random(seed)
        self._epoch = 0
        self.ends: Counter[str] = Counter()

    def make(self, count: int) -> None:
        for _ in range(count):
            self.ends[self._visit()] += 1

    def _visit(self) -> str:
        chosen = self._random
        local = chosen.random() < 0.4
        connection = socket.socket(socket.AF_UNIX if local else socket.AF_INET)
        connection.settimeout(_SECONDS)
        try:
            connection.connect(self._created.endpoints[0].local_socket if local else self._door)
            for part in self._says(tunnel=not local):
                connection.sendall(part)
                if chosen.random() < 0.05:
                    time.sleep(chosen.random() * 0.05)
            match chosen.randrange(3):
                case 0:
                    return "left at once"
                case 1:
                    connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(1 << 16)
        except TimeoutError:
            return "still waited for"
        except OSError:
            return "hung up on"
        finally:
            connection.close()
        return "answered" if answer else "shown out"

    def _says(self, *, tunnel: bool) -> list[bytes]:
        chosen = self._random
        noise = chosen.randbytes(chosen.choice((0, 1, 5, 100, 5000)))
        if not tunnel:
            return self._stream(noise)
        name = self._created.endpoints[-1].tunnel
        match chosen.randrange(9):
            case 0:
                return [noise]
            case 1:
                return [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", noise]
            case 2:
                return [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"]
            case 3:
                return [b"CONNECT " + noise + b"\r\n\r\n"]
            case 4:
                return [b"CONNECT " + b"a" * 5000]
            case 5:
                return [f"CONNECT {name}:1 HTTP/1.1\r\n".encode(), noise]
            case 6:
                return [b"C", b"O", b"N", f"NECT {name[:-1]}x:1 HTTP/1.1\r\n\r\n".encode()]
        return [f"CONNECT {name}:1 HTTP/1.1\r\n\r\n".encode(), *self._stream(noise)]

    def _stream(self, noise: bytes) -> list[bytes]:
        """What goes to the session's socket: messages and their lengths, or what claims to be some."""
        chosen = self._random
        self._epoch += 1
        right = service_pb2.Attach(
            session_id=self._created.session.session_id,
            attach_secret=self._created.attach_secret,
            epoch=self._epoch,
            capabilities=service_pb2.Capabilities(protocol_version=PROTOCOL_VERSION),
        )
        wrong = service_pb2.Attach()
        wrong.CopyFrom(right)
        wrong.attach_secret = noise[:32]
        attach, intruder = (
            _framed(service_pb2.StreamRequest(attach=each).SerializeToString()) for each in (right, wrong)
        )
        frame = service_pb2.StreamRequest(
            first_sequence=1, records=noise, replies_received=chosen.choice((0, 1, 1 << 63))
        )
        match chosen.randrange(6):
            case 0:
                return [noise]
            case 1:
                return [intruder, _framed(frame.SerializeToString())]
            case 2:
                return [attach[: chosen.randrange(len(attach))]]
            case 3:
                return [attach, _framed(noise)]
            case 4:
                return [attach, chosen.choice((1 << 27, (1 << 32) - 1, 1 << 20)).to_bytes(4, "little"), noise]
        return [attach, _framed(frame.SerializeToString()), noise]


def _framed(message: bytes) -> bytes:
    return len(message).to_bytes(4, "little") + message
