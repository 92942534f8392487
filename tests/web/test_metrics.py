"""`WebSocket skytorch/api/metrics`: live, from one stream a server, and only while somebody looks."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STREAM_METRICS = "/skytorch.server.Metrics/StreamMetrics"


class CountingRelay(grpc.GenericRpcHandler):
    """Passes every call on to a server, unread, and counts."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self.begun: Counter[str] = Counter()
        self.open: Counter[str] = Counter()
        self.ended = asyncio.Event()

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler:
        method = handler_call_details.method

        async def pass_on(request: bytes, context: Any) -> AsyncIterator[bytes]:
            self.begun[method] += 1
            self.open[method] += 1
            call = self._channel.unary_stream(method)(request, metadata=context.invocation_metadata())
            try:
                async for answer in call:
                    yield answer
            finally:
                call.cancel()
                self.open[method] -= 1
                self.ended.set()

        # On the wire a unary answer is a stream of one.
        return grpc.unary_stream_rpc_method_handler(pass_on)


@pytest.fixture(scope="module")
def config(folder: Path) -> dict[str, Any]:
    """Watches the one server of the test, by way of the relay where there is one."""
    address = f"unix:{folder}/watched/front.sock"
    return {"SkyTorchApp": {"metrics_interval": 0.2, "servers": [{"name": "box", "address": address}]}}


@pytest.fixture
async def relay(folder: Path, torch_server: Any) -> AsyncIterator[CountingRelay]:
    """Stands where the Jupyter server looks for its server."""
    (folder / "watched").mkdir(mode=0o700, exist_ok=True)
    async with grpc.aio.insecure_channel(torch_server.address) as channel:
        handler = CountingRelay(channel)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((handler,))
        server.add_insecure_port(f"unix:{folder}/watched/front.sock")
        await server.start()
        yield handler
        await server.stop(grace=None)


async def test_several_browsers_share_one_stream_which_ends_with_the_last(jupyter: Any, relay: CountingRelay) -> None:
    await jupyter.get("skytorch/api/sessions")
    assert relay.begun[STREAM_METRICS] == 0

    browsers = [await jupyter.look() for _ in range(5)]
    for browser in browsers:
        await browser.compute("serving")
        assert await browser.metrics()
    assert relay.begun[STREAM_METRICS] == 1

    for browser in browsers[1:]:
        await browser.close()
    assert await browsers[0].metrics()
    assert relay.open[STREAM_METRICS] == 1

    await browsers[0].close()
    async with asyncio.timeout(60):
        while relay.open[STREAM_METRICS]:
            relay.ended.clear()
            await relay.ended.wait()
    assert relay.begun[STREAM_METRICS] == 1


async def test_metrics_are_those_of_the_server_with_their_units(jupyter: Any, start_server: Any) -> None:
    await start_server("watched")
    browser = await jupyter.look()
    await browser.compute("serving")

    series = {one["name"]: one for one in await browser.metrics()}

    assert series["host.memory.total"]["unit"] == "B"
    assert series["host.memory.total"]["kind"] == "gauge"
    assert series["torch.operations"]["kind"] == "counter"
    assert series["torch.sessions"]["points"][0][1] == 0
    assert all(one["help"] for one in series.values())


async def test_a_browser_that_comes_later_gets_the_history(jupyter: Any, start_server: Any) -> None:
    await start_server("watched")
    first = await jupyter.look()
    await first.compute("serving")
    for _ in range(3):
        await first.metrics()

    later = await jupyter.look()

    (points,) = [one["points"] for one in await later.metrics() if one["name"] == "host.cpu.utilization"]
    assert len(points) >= 3
    assert [time for time, _ in points] == sorted(time for time, _ in points)


async def test_a_session_shows_up_while_somebody_looks(jupyter: Any, start_server: Any) -> None:
    server = await start_server("watched")
    browser = await jupyter.look()
    await browser.compute("serving")

    created = await server.create_session("train")

    found = await browser.message(lambda found: found["type"] == "state" and bool(found["computes"][0]["sessions"]))
    (session,) = found["computes"][0]["sessions"]
    assert session["session_id"] == created.session.session_id


async def test_a_killed_server_is_said_to_be_gone_and_found_again(jupyter: Any, start_server: Any) -> None:
    server = await start_server("watched")
    browser = await jupyter.look()
    serving = await browser.compute("serving")

    server.running.kill()
    gone = await browser.compute("unreachable")
    assert gone["health"]["since"] > serving["health"]["since"]

    await start_server("watched")
    await browser.compute("serving")
    assert await browser.metrics()


async def test_a_server_that_hangs_is_said_to_be_gone(jupyter: Any, start_server: Any) -> None:
    server = await start_server("watched")
    browser = await jupyter.look()
    await browser.compute("serving")

    server.running.send_signal(signal.SIGSTOP)  # it still holds its socket, and says nothing
    gone = await browser.compute("unreachable")
    assert gone["health"]["reason"] == "it does not answer"

    server.running.send_signal(signal.SIGCONT)
    await browser.compute("serving")
