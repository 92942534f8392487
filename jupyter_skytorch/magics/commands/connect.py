"""Connect to a torch server, and make it the current Compute.

Without an argument: the embedded server on this machine, started when it does not run. With the name of a Compute
that was lost: a new session on its server. With --provider kubernetes: a Compute in a cluster, which is made if there
is none of that name, changed where flags say other than it is, resumed if it was suspended, and waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_skytorch.compute import connect
from jupyter_skytorch.compute.kubernetes import NAME as KUBERNETES
from jupyter_skytorch.compute.names import PROVIDERS, check_provider
from jupyter_skytorch.compute.opening import one_line_errors
from jupyter_skytorch.compute.registry import computes
from jupyter_skytorch.display.quantities import count
from jupyter_skytorch.display.text import tell
from jupyter_skytorch.magics import provisioned, provisioning, wanted
from jupyter_skytorch.magics.names import targets
from jupyter_skytorch.magics.parser import seconds

if TYPE_CHECKING:
    import argparse

    from jupyter_skytorch.compute import Compute
    from jupyter_skytorch.magics.parser import Parser
    from jupyter_skytorch.magics.sky import SkyMagics


def arguments(parser: Parser) -> None:
    """Declare the arguments."""
    parser.argument(
        "target",
        nargs="?",
        metavar="NAME|URL",
        completer=targets,
        explain="grpcs://host:port (within TLS), grpc://host:port, unix:/path, 'local' for the embedded server, or the "
        "name of a Compute",
    )
    parser.argument("--name", metavar="NAME", explain="what to call the Compute; otherwise its address tells")
    parser.argument("--token-file", metavar="FILE", explain="the file that holds the server's token")
    parser.argument(
        "--ca", metavar="FILE", explain="the authority of the server's certificate, where this machine doesn't know it"
    )
    parser.argument("--cert", metavar="FILE", explain="your own certificate, for servers that ask for one")
    parser.argument("--key", metavar="FILE", explain="its private key, where the certificate's file doesn't hold it")
    parser.argument(
        "--insecure", action="store_true", explain="allow a connection to another machine that is not encrypted"
    )
    parser.argument(
        "--idle-timeout", type=seconds, metavar="TIME", explain="how long the session lives on without this kernel"
    )
    parser.argument("--max-age", type=seconds, metavar="TIME", explain="how long it lives in all")
    parser.argument(
        "--memory",
        metavar="SIZE",
        explain="what its tensors may take on each device, as 8GiB; in Kubernetes: the memory of the Compute itself",
    )
    parser.argument("--timeout", type=seconds, metavar="TIME", explain="how long connecting may take in all")
    parser.argument(
        "--provider", metavar="PROVIDER", completer=lambda: PROVIDERS, explain=f"what it comes from: {_either()}"
    )
    parser.argument("--namespace", metavar="NAMESPACE", explain="in Kubernetes: where it is; otherwise the context's")
    parser.argument(
        "--host", metavar="HOST", explain="in Kubernetes: where it is reached; otherwise a port-forward is made"
    )
    wanted.declare(parser)


def _either() -> str:
    return f"{', '.join(PROVIDERS[:-1])} or {PROVIDERS[-1]}; otherwise the target tells"


def run(options: argparse.Namespace, magics: SkyMagics) -> Compute:
    """Connect."""
    target = options.target or magics.target
    provider = options.provider or _provider(options.target, magics)
    if provider == KUBERNETES:
        # What the settings call "local" is the embedded server, and no name for one in a cluster.
        name = options.target or (magics.target if magics.target != "local" else None)
        with one_line_errors():
            check_provider(provider, name)
        compute = provisioning.connect(str(name), options, magics)
    else:
        compute = _elsewhere(target, provider, options, magics)
    if compute.restorable:
        tell(f"{count(compute.restorable, 'checkpoint')} on {compute.name} can be restored: %sky restore")
    return compute


def _provider(target: str | None, magics: SkyMagics) -> str | None:
    """What the settings say; a target that can't be of that provider says more."""
    if target is not None and provisioned.known(target) is not None:
        return KUBERNETES
    if magics.provider != KUBERNETES:
        return magics.provider or None
    is_name = target is None or (":" not in target and target not in {"local", *computes()})
    return KUBERNETES if is_name else None


def _elsewhere(target: str, provider: str | None, options: argparse.Namespace, magics: SkyMagics) -> Compute:
    terms = {name: getattr(options, name) or default for name, default in magics.terms.items()}
    given = {name: value for name in magics.FILES if (value := getattr(options, name))}
    said = {**wanted.said(options), "namespace": options.namespace, "host": options.host}
    # --memory is about the session here.
    said.pop("resources", None)
    said |= {"cpu": options.cpu, "gpu": options.gpu}
    files = magics.files(target) | given
    return connect(
        target,
        name=options.name,
        insecure=options.insecure,
        provider=provider,
        timeout=options.timeout or magics.timeout or None,
        reconnect_timeout=magics.reconnect_timeout,
        **files,
        **terms,
        **{name: value for name, value in said.items() if value is not None},
    )
