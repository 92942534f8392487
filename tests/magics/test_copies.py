"""Copies between Computes in a cell: one that has to come through this machine is told in the ledger line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.server import server

if TYPE_CHECKING:
    from .conftest import Kernel


def test_a_detour_is_told(connected: Kernel) -> None:
    with server("--no-direct") as address:
        connected.ok(f"%sky connect grpc://{address} --name other")
        connected.ok("%sky use local")
        connected.ok(
            "here, there = (c.device() for c in (jupyter_skytorch.compute.computes()[n] for n in ('local', 'other')))"
        )
        cell = "%%sky\nx = torch.arange(1000.0).to(there).to(here)\ny = x.to(there)\ny.sum().item()"
        told = f"local → other through this machine: the server may not connect to {address} (--copy-to)"
        for _ in range(2):
            result = connected.ok(cell)
            assert result.value == "499500.0"
            assert result.ledger.count("through this machine") == 1
            assert f" · {told}" in result.ledger
        assert "through this machine" not in connected.ok("%%sky\ny.to(here).sum().item()").ledger
        connected.ok("%sky disconnect other")
