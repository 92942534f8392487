"""Connecting by TLS, and each thing that can be wrong with it: one line that says what to do."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import torch

from jupyter_skytorch.compute import connect, records, survey
from jupyter_skytorch.compute.channel import Address
from jupyter_skytorch.compute.credentials import Credential
from jupyter_skytorch.compute.encryption import Encryption
from jupyter_skytorch.compute.endpoint import ways
from jupyter_skytorch.compute.handshake import abandon, create_session
from jupyter_skytorch.compute.place import Place
from jupyter_skytorch.compute.terms import Terms
from jupyter_skytorch.device.errors import ConnectError
from jupyter_skytorch.session import Session
from jupyter_skytorch.session import control as control_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.certificates import Certificates

    from .conftest import Server

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(autouse=True)
def _own_folder(runtime: Path) -> None:
    """What is written goes to the test's folder."""


@pytest.fixture
def secure(serve: Callable[..., Server], certificates: Certificates) -> Callable[..., str]:
    """Start a server with a certificate; its address."""

    def start(*flags: str, cert: Path | None = None) -> str:
        server = serve("--tls-cert", str(cert or certificates.issue("server.pem")), *flags)
        return server.address.replace("grpc:", "grpcs:")

    return start


def refusal(target: str, **options: object) -> str:
    """What connect() says."""
    with pytest.raises(ConnectError) as caught:
        connect(target, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_session_within_tls(
    secure: Callable[..., str], certificates: Certificates, token_file: Path, runtime: Path
) -> None:
    address = secure("--token-file", str(token_file), "--no-direct")
    with connect(address, ca=certificates.ca, token_file=token_file) as compute:
        device = compute.device()
        a = torch.randn(700, 700)
        assert torch.equal((a.to(device) + 1).cpu(), a + 1)
        large = torch.randint(256, (12 << 20,), dtype=torch.uint8)
        assert torch.equal(large.to(device).cpu(), large)
        (record,) = records.read_all()
        assert (record.address, record.encryption) == (address, Encryption(ca=str(certificates.ca)))
        # By what is written down, others of this user find the session.
        (known,) = asyncio.run(survey.survey())
        assert (known.session_id, known.state) == (record.session_id, "active")
        (path,) = (runtime / "sessions").glob("*.json")
        assert "correct-horse" not in path.read_text()


def test_a_relayed_session_within_tls(secure: Callable[..., str], certificates: Certificates) -> None:
    place = Place("address", "box", Address.parse(secure()), Credential(), encryption=Encryption(str(certificates.ca)))
    control = control_thread.get()
    handshake = control.run(create_session(place, "box", Terms(), 20.0), 20.0)
    session = Session.open(
        ways=ways([], place.address, place.encryption),
        created=handshake.created,
        metadata=handshake.metadata,
        control=control,
        front=handshake.channel,
        reconnect_timeout=20.0,
        waiting=nullcontext,
    )
    try:
        assert torch.ones(2, device=session.device()).sum().item() == 2.0
    finally:
        session.close()
        control.run(abandon(handshake), 20.0)


def test_both_ends_show_a_certificate(secure: Callable[..., str], certificates: Certificates) -> None:
    address = secure("--tls-client-ca", str(certificates.ca), "--no-direct")
    cert, key = certificates.issue_apart("ada", "ada@example.org")
    with connect(address, ca=certificates.ca, cert=cert, key=key) as compute:
        assert torch.ones(2, device=compute.device()).sum().item() == 2.0


def test_no_certificate_where_one_is_asked_for(secure: Callable[..., str], certificates: Certificates) -> None:
    address = secure("--tls-client-ca", str(certificates.ca))
    assert "asks for a certificate of yours: give its files with cert and key (--cert, --key)" in refusal(
        address, ca=certificates.ca
    )


def test_a_certificate_of_a_stranger(
    secure: Callable[..., str], certificates: Certificates, other_certificates: Certificates
) -> None:
    address = secure("--tls-client-ca", str(certificates.ca))
    stranger = other_certificates.issue("eve.pem", "eve@example.org")
    said = refusal(address, ca=certificates.ca, cert=stranger)
    assert f"refused the certificate {stranger}: it comes from another authority" in said


def test_an_unknown_and_a_wrong_authority(
    secure: Callable[..., str], certificates: Certificates, other_certificates: Certificates
) -> None:
    address = secure()
    assert "another authority than one that this machine trusts: give it with ca (--ca)" in refusal(address)
    said = refusal(address, ca=other_certificates.ca)
    assert f"another authority than that of {other_certificates.ca}" in said


def test_an_expired_certificate(secure: Callable[..., str], certificates: Certificates) -> None:
    address = secure(cert=certificates.issue("old.pem", valid=timedelta(hours=-1)))
    assert "has expired: who runs the server has to renew it" in refusal(address, ca=certificates.ca)


def test_a_certificate_for_another_host(secure: Callable[..., str], certificates: Certificates) -> None:
    address = secure(cert=certificates.issue("other.pem", "gpu.example.org"))
    assert "is not for '127.0.0.1': connect to a name that is in it" in refusal(address, ca=certificates.ca)


def test_tls_to_a_server_that_has_none(serve: Callable[..., Server], certificates: Certificates) -> None:
    plain = serve().address
    said = refusal(plain.replace("grpc:", "grpcs:"), ca=certificates.ca)
    assert said.endswith(f"has no TLS: if that is right, connect to {plain}")


def test_no_tls_to_a_server_that_has_it(secure: Callable[..., str]) -> None:
    address = secure()
    said = refusal(address.replace("grpcs:", "grpc:"))
    assert said.endswith(f"wants TLS: connect to {address}")


def test_files_without_tls() -> None:
    said = refusal("grpc://127.0.0.1:50051", ca="ca.pem")
    assert "did you mean 'grpcs://127.0.0.1:50051'?" in said
    assert "neither an authority nor a certificate" in refusal("unix:/run/s", cert="me.pem")


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"ca": "none.pem"}, "the authority .*none.pem can't be used: No such file or directory"),
        ({"ca": "text.pem"}, "the authority .*text.pem can't be used: "),
        ({"cert": "none.pem"}, "the certificate .*none.pem can't be used: No such file or directory"),
        ({"cert": "a.crt", "key": "b.key"}, "a.crt can't be used with .*b.key: the key is not that of the certificate"),
        ({"key": "b.key"}, "a key was given without its certificate"),
    ],
)
def test_files_that_cannot_be_used(
    certificates: Certificates, tmp_path: Path, files: dict[str, str], complaint: str
) -> None:
    certificates.issue_apart("a")
    certificates.issue_apart("b")
    (tmp_path / "text.pem").write_text("no certificate\n")
    with pytest.raises(ConnectError, match=complaint):
        connect("grpcs://127.0.0.1:1", **{name: tmp_path / file for name, file in files.items()})
