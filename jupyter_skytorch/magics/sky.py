"""The magics class: hands ``%sky`` to its subcommands and ``%%sky`` to the cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, magics_class
from traitlets import Bool, Float, Int, Unicode

from jupyter_skytorch.display.text import tell

from .arguments import cell_parser
from .errors import one_line
from .parser import split
from .registry import find

if TYPE_CHECKING:
    from jupyter_skytorch.compute.profile import Profile
    from jupyter_skytorch.display.running import Running

__all__ = ["SkyMagics"]


@magics_class
class SkyMagics(Magics):
    """Run cells on a remote torch server."""

    target = Unicode(
        "local",
        help="Where `%sky connect`, and a `%%sky` cell with nothing connected, connect to: 'local' for the embedded "
        "server, or grpc://host:port, or unix:/path.",
    ).tag(config=True)
    provider = Unicode(
        "",
        help="What a plain name in `%sky connect NAME` names: 'kubernetes' for Computes in a cluster; empty: those of "
        "this notebook.",
    ).tag(config=True)
    namespace = Unicode("", help="In Kubernetes: where Computes are; empty: as the kubeconfig has it.").tag(config=True)
    image = Unicode("", help="In Kubernetes: the image of a new Compute.").tag(config=True)
    cpu = Unicode("", help="In Kubernetes: a new Compute's processors, as '4'; empty: as the cluster has it.").tag(
        config=True
    )
    gpu = Int(0, min=0, help="In Kubernetes: how many GPUs a new Compute has.").tag(config=True)
    suspend_after = Float(
        None,
        allow_none=True,
        min=0.0,
        help="In Kubernetes: after how many seconds without use a new Compute is suspended; 0: never; None: as the "
        "cluster has it.",
    ).tag(config=True)
    timeout = Float(
        0.0, min=0.0, help="How many seconds connecting may take in all; 0: 120, and 300 for one in Kubernetes."
    ).tag(config=True)
    token_file = Unicode("", help="The file with the token for the server at `target`; empty: none.").tag(config=True)
    idle_timeout = Float(
        0.0, min=0.0, help="How many seconds a session lives on without its kernel; 0: as its server has it."
    ).tag(config=True)
    max_age = Float(0.0, min=0.0, help="How many seconds a session lives in all; 0: as its server has it.").tag(
        config=True
    )
    memory = Unicode(
        "",
        help="What a session's tensors may take on each device, as '8GiB'; empty: as its server has it. In Kubernetes: "
        "a new Compute's memory.",
    ).tag(config=True)
    ca = Unicode("", help="The authority of that server's certificate, if not known here.").tag(config=True)
    cert = Unicode("", help="Your own certificate for that server, if it asks for one.").tag(config=True)
    key = Unicode("", help="Its private key, where the certificate's file doesn't hold it.").tag(config=True)
    ledger = Bool(default_value=True, help="Show what a `%%sky` cell cost, in one line below it.").tag(config=True)
    progress_delay = Float(
        1.0, min=0.0, help="After how many seconds a wait is shown; what is shown goes away with the wait."
    ).tag(config=True)

    reconnect_timeout = Float(
        120.0, min=0.0, help="For how many seconds a broken connection is tried again before the session is given up."
    ).tag(config=True)

    FILES = ("token_file", "ca", "cert", "key")
    """What refers to a secret or a certificate, here and in `%sky connect`."""

    running: Running | None = None

    @property
    def terms(self) -> dict[str, Any]:
        """What connect() is to ask for, unless a flag says otherwise."""
        asked = {"idle_timeout": self.idle_timeout, "max_age": self.max_age, "memory": self.memory}
        return {name: value or None for name, value in asked.items()}

    profile: Profile | None = None
    """Of the last profiled cell."""

    def files(self, target: str) -> dict[str, Any]:
        """The files that are configured for a target, by the names that connect() has for them."""
        if target != self.target:
            return {}
        return {name: path for name in self.FILES if (path := getattr(self, name))}

    @line_cell_magic
    def sky(self, line: str, cell: str | None = None) -> object:
        """%sky COMMAND: connect to remote torch servers. %%sky [NAME] [FLAGS]: run a cell on one.

        `%sky help` lists the commands, `%sky COMMAND --help` explains one.
        """
        __tracebackhide__ = True
        called, _, rest = line.strip().partition(" ")
        command = find(called or "help") if cell is None else None
        words = command.words(rest) if command else split(line)
        parser = command.parser() if command else cell_parser()
        if {"-h", "--help"} & set(words):
            tell(parser.format_help())
            return None
        options = parser.parse(words)
        if command:
            with one_line():
                return command.run(options, self)
        from .cell import run

        run(self, options, cell or "")
        return None
