"""The zstd context of a stream: what its requests have in common is sent once.

A training loop says nearly the same in each step, so frames of ops shrink to a fraction. One context lives as long as
the stream; each message ends with a whole block, so that it can be read when it arrives. zstandard is imported when a
context is made, because streams on one machine have none.
"""

from __future__ import annotations

#: The first byte of a StreamRequest that carries `compressed`: the field's number and kind.
COMPRESSED = 15 << 3 | 2

#: The largest StreamRequest that is compressed. Frames of ops are cut at 64 KiB; much larger ones are tensors' bytes,
#: which hardly shrink and would push the ops out of the window.
MAX_INFLATED = 96 * 1024

_LEVEL = 3
_WINDOW_LOG = 20
# A block has 4 bytes at least and 128 KiB at most when it is inflated, so this much input makes no more than 2 MiB.
_SLICE = 64
_MORE = 0x80


class InflationError(ValueError):
    """What came isn't a message of the stream's context; the message says why."""


class Compressor:
    """The sending end of a context."""

    def __init__(self) -> None:
        import zstandard

        parameters = zstandard.ZstdCompressionParameters.from_level(_LEVEL, window_log=_WINDOW_LOG)
        self._context = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        self._flush = zstandard.COMPRESSOBJ_FLUSH_BLOCK

    def compress(self, request: bytes) -> bytes:
        """The serialized StreamRequest that stands for `request`, which has at most MAX_INFLATED bytes."""
        blocks = self._context.compress(request) + self._context.flush(self._flush)
        return bytes([COMPRESSED]) + _varint(len(blocks)) + blocks


class Inflater:
    """The receiving end of a context. After an InflationError it is of no further use."""

    def __init__(self) -> None:
        import zstandard

        self._context = zstandard.ZstdDecompressor(max_window_size=1 << _WINDOW_LOG).decompressobj()
        self._error = zstandard.ZstdError

    def inflate(self, request: bytes) -> bytes:
        """The StreamRequest that `request`, which begins with COMPRESSED, stands for.

        Raises:
            InflationError: it is not in this context, inflates past MAX_INFLATED, or has more than the one field.
        """
        at, size = _read_varint(request, 1)
        if size != len(request) - at:
            raise InflationError("a compressed request carries one field, and all of it")
        parts: list[bytes] = []
        inflated = 0
        while at < len(request):
            try:
                part = self._context.decompress(request[at : at + _SLICE])
            except self._error as error:
                raise InflationError(f"a compressed request is not in the stream's zstd context: {error}") from None
            at += _SLICE
            inflated += len(part)
            if inflated > MAX_INFLATED:
                raise InflationError(f"a compressed request inflates past {MAX_INFLATED} bytes")
            if self._context.eof:
                raise InflationError("a compressed request ends the stream's zstd context")
            parts.append(part)
        return b"".join(parts)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= _MORE:
        out.append(value & (_MORE - 1) | _MORE)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """Where it ends, and what it is."""
    value = 0
    for shift in range(0, 35, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & (_MORE - 1)) << shift
        if byte < _MORE:
            return at, value
    raise InflationError("a compressed request says no length")
