"""Every call that reaches the front passes here: who it is from, and whether it may come in."""

from __future__ import annotations

import logging
import math
import re
import secrets
from typing import TYPE_CHECKING, Any

import grpc

from skytorch_server.calls import MessageLimit, serve
from skytorch_server.current_call import CurrentCall, current_call

from .attempts import Attempts
from .auth import LOCAL, caller
from .refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from skytorch_server.audit import Audit
    from skytorch_server.calls import Context, Handler

    from .auth import Principals

_log = logging.getLogger(__name__)

# Probes of Kubernetes and of load balancers can't send a token.
_OPEN_TO_ALL = ("/grpc.health.v1.Health/",)
_REQUEST_ID = "x-request-id"
_SAFE_ID = re.compile(r"[\w.:/+=-]{1,64}", re.ASCII)


class Gate(grpc.aio.ServerInterceptor):
    """Lets only known principals through, and says for the service and the log whose call it serves."""

    def __init__(
        self, principals: Principals, limit: MessageLimit, address_of: Callable[[str], str], audit: Audit
    ) -> None:
        """`address_of` says where the client is that gRPC knows by a name."""
        self._principals = principals
        self._limit = limit
        self._address_of = address_of
        self._audit = audit
        self._attempts = Attempts()
        #: What came with a wrong token or none, and what was not looked at because too much of that had come.
        self.refused = 0
        self.put_off = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)

        async def call(_requests: object, context: Context) -> None:
            await self._serve(handler, handler_call_details, context)

        # The one kind of handler that can answer before a first message came, and whatever the method's own kind is.
        return grpc.stream_stream_rpc_method_handler(call)

    async def _serve(self, handler: Handler | None, details: grpc.HandlerCallDetails, context: Context) -> None:
        metadata = tuple(details.invocation_metadata or ())
        address = self._address_of(context.peer())
        call = CurrentCall(_request_id(metadata), details.method, address)
        context.set_trailing_metadata(((_REQUEST_ID, call.request_id),))
        reset = current_call.set(call)
        try:
            if not details.method.startswith(_OPEN_TO_ALL):
                try:
                    call.principal = self._identify(metadata, call)
                except Refusal as refusal:
                    await context.abort(refusal.code, str(refusal))
                caller.set(call.principal)
            if handler is None:
                await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"there is no method {details.method} here")
            else:
                await serve(handler, details.method, context, self._limit)
        finally:
            call.over = True
            current_call.reset(reset)

    def _identify(self, metadata: tuple[Any, ...], call: CurrentCall) -> str:
        """The principal that a call is from. Raises Refusal."""
        if not self._principals.asks:
            return LOCAL
        token = self._principals.token(metadata)
        wait = self._attempts.wait(call.address, token or b"")
        if wait:
            self.put_off += 1
            raise Refusal(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"too many calls with a wrong token came from {call.address}: try again in {math.ceil(wait)} s",
            )
        principal = self._principals.find(token) if token else None
        if principal is None:
            self.refused += 1
            self._attempts.failed(call.address)
            what = "a wrong token" if token else "no token"
            _log.warning("%s from %s for %s", what, call.address, call.method)
            self._audit.write("refused", method=call.method, result=what)
            reason = "the token is not one that this server knows" if token else "this server needs a token"
            raise Refusal(grpc.StatusCode.UNAUTHENTICATED, reason)
        self._attempts.succeeded(call.address, token or b"")
        return principal


def _request_id(metadata: tuple[Any, ...]) -> str:
    """The caller's own, where it can stand in a log, else a new one."""
    for key, value in metadata:
        if key == _REQUEST_ID and isinstance(value, str) and _SAFE_ID.fullmatch(value):
            return value
    return secrets.token_hex(8)
