"""The zstd context of a stream, both ends."""

from __future__ import annotations

import random

import pytest
import zstandard

from skytorch_wire import service_pb2
from skytorch_wire.compression import COMPRESSED, MAX_INFLATED, Compressor, Inflater, InflationError
from skytorch_wire.records import Writer


def request(blocks: bytes) -> bytes:
    return service_pb2.StreamRequest(compressed=blocks).SerializeToString()


def test_what_is_compressed_comes_out_again_in_order() -> None:
    compressor, inflater = Compressor(), Inflater()
    chance = random.Random(0)
    for size in (1, 100, 5000, MAX_INFLATED):
        for message in (bytes(size), chance.randbytes(size)):
            compressed = compressor.compress(message)
            assert compressed[0] == COMPRESSED
            assert service_pb2.StreamRequest.FromString(compressed).compressed
            assert inflater.inflate(compressed) == message


def test_what_was_said_before_costs_next_to_nothing() -> None:
    compressor = Compressor()
    step = random.Random(0).randbytes(3000)
    assert len(compressor.compress(step)) > 3000
    assert len(compressor.compress(step)) < 50


def test_the_field_is_the_one_of_the_contract() -> None:
    records = Writer().define_device(0, "cpu", 0).take()
    plain = service_pb2.StreamRequest(first_sequence=1, records=records).SerializeToString()
    assert Inflater().inflate(request(Compressor().compress(plain)[2:])) == plain


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (request(b"not zstd"), "not in the stream's zstd context"),
        (request(zstandard.compress(b"abc")), "ends the stream's zstd context"),
        (request(zstandard.compress(b"abc") * 2), "ends the stream's zstd context"),
        (Compressor().compress(bytes(MAX_INFLATED + 1)), "inflates past"),
        (Compressor().compress(bytes(64 << 20)), "inflates past"),
        (request(zstandard.ZstdCompressor(level=22).compress(random.Random(0).randbytes(9 << 20))), "zstd context"),
        (request(b"abc")[:-1], "one field"),
        (request(b"abc") + b"\x10\x01", "one field"),
        (bytes([COMPRESSED]), "no length"),
        (bytes([COMPRESSED]) + b"\xff" * 12, "no length"),
    ],
)
def test_what_is_not_of_the_context_is_refused(message: bytes, complaint: str) -> None:
    with pytest.raises(InflationError, match=complaint):
        Inflater().inflate(message)


def test_random_bytes_are_refused_or_harmless() -> None:
    chance = random.Random(1)
    good = Compressor().compress(bytes(range(256)) * 8)
    for _ in range(2000):
        bad = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        bad[0] = COMPRESSED
        try:
            assert len(Inflater().inflate(bytes(bad))) <= MAX_INFLATED
        except InflationError:
            continue
