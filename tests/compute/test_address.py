"""Addresses: what is one, and what is said of a text that is none."""

from __future__ import annotations

import subprocess
import sys

import pytest

from jupyter_skytorch.compute.channel import Address, AddressError, check_secure
from jupyter_skytorch.compute.encryption import Encryption


@pytest.mark.parametrize(
    ("text", "target", "loopback"),
    [
        ("grpc://gpu.example.com:50051", "gpu.example.com:50051", False),
        ("grpc://10.0.0.7:443/", "10.0.0.7:443", False),
        ("grpc://127.0.0.1:1", "127.0.0.1:1", True),
        ("grpc://localhost:65535", "localhost:65535", True),
        ("grpc://[::1]:50051", "[::1]:50051", True),
        ("grpc://[2001:db8::1]:50051", "[2001:db8::1]:50051", False),
        ("unix:/run/sky.sock", "unix:/run/sky.sock", True),
        ("unix:///run/sky.sock", "unix:/run/sky.sock", True),
    ],
)
def test_an_address_is_read_and_written_back(text: str, target: str, *, loopback: bool) -> None:
    address = Address.parse(text)
    assert address.target == target
    assert address.loopback is loopback
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("localhost:50051", "did you mean 'grpc://localhost:50051'?"),
        ("grpc//host:80", "did you mean 'grpc://host:80'?"),
        ("http://host:80", "did you mean 'grpc://host:80'?"),
        ("grcp://host:80", "did you mean 'grpc'?"),
        ("grpc:host:80", "did you mean 'grpc://host:80'?"),
        ("grpc://host", "did you mean 'grpc://host:50051'?"),
        ("grpc://[::1]", "did you mean 'grpc://[::1]:50051'?"),
        ("grpc://host:", "no port"),
        ("grpc://host:0", "from 1 to 65535"),
        ("grpc://host:99999", "from 1 to 65535"),
        ("grpc://host:http", "from 1 to 65535"),
        ("grpc://host:80/path", "after the port"),
        ("grpc://::1:80", "brackets"),
        ("grpc://a b:80", "host name"),
        ("grpc://:80", "host name"),
        ("unix:relative", "absolute path"),
        ("unix:/" + "x" * 200, "at most"),
        ("", "not an address"),
        ("word", "not an address"),
    ],
)
def test_what_is_no_address_gets_one_line_that_says_why(text: str, says: str) -> None:
    with pytest.raises(AddressError) as caught:
        Address.parse(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["grpc", "http", "https"])
def test_a_secret_in_an_address_is_refused_and_not_repeated(scheme: str) -> None:
    with pytest.raises(AddressError, match="token_file") as caught:
        Address.parse(f"{scheme}://user:hunter2@host:80")
    assert "hunter2" not in str(caught.value)


def test_a_plain_connection_to_another_machine_has_to_be_wanted() -> None:
    other = Address.parse("grpc://192.0.2.1:50051")
    with pytest.raises(AddressError, match="insecure"):
        check_secure(other, Encryption(), insecure=False)
    check_secure(other, Encryption(), insecure=True)
    check_secure(Address.parse("grpc://localhost:50051"), Encryption(), insecure=False)


def test_addresses_and_records_load_no_torch() -> None:
    code = (
        "import sys, jupyter_skytorch.compute.channel, jupyter_skytorch.compute.records; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
