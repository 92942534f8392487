"""A Kubernetes control plane of these tests' own, on loopback, with a node that only says that its pods run."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SECONDS = 60.0
NO_CONTROL_PLANE = "no Kubernetes control plane in KUBEBUILDER_ASSETS or ../shared/kube"


def kit() -> Path | None:
    """The folder with the binaries and the scripts that start them, if there is one."""
    folders = [Path(os.environ["KUBEBUILDER_ASSETS"])] if "KUBEBUILDER_ASSETS" in os.environ else []
    folders.append(ROOT.parent / "shared/kube")
    return next((folder for folder in folders if (folder / "kube-up.sh").exists()), None)


class ControlPlane:
    """An API server with etcd, controllers and the CRDs of this repository; its administrator's kubeconfig."""

    def __init__(self, tools: Path, folder: Path, *options: str) -> None:
        """`tools` is the folder of :func:`kit`; `options` are those of its kube-up.sh."""
        self._tools = tools
        self.folder = folder
        binaries = self._run(tools / "unpack.sh").splitlines()[-1]
        self.kubeconfig = Path(
            self._run(tools / "kube-up.sh", binaries, folder, "--crd-server", *options).splitlines()[-1]
        )
        self._run(sys.executable, tools / "kube-crd.py", folder, ROOT / "server/deploy/base/crd.yaml")
        self._node: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return yaml.safe_load(self.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]

    def kubeconfig_for(self, path: Path, token: str, *, namespace: str = "default", url: str = "") -> Path:
        """Writes a kubeconfig of whoever has `token`, who reaches the API at `url`, or else at the server itself."""
        content = yaml.safe_load(self.kubeconfig.read_text())
        content["users"] = [{"name": "user", "user": {"token": token}}]
        content["contexts"] = [{"name": "test", "context": {"cluster": "test", "user": "user", "namespace": namespace}}]
        if url:
            content["clusters"][0]["cluster"] = {"server": url}
        path.write_text(yaml.safe_dump(content))
        path.chmod(0o600)
        return path

    def kubeconfig_of(self, user: str, path: Path, namespace: str = "default") -> Path:
        """Writes a kubeconfig of one of the users that the control plane knows from its start."""
        tokens = (line.split(",") for line in (self.folder / "pki/tokens.csv").read_text().splitlines())
        return self.kubeconfig_for(path, next(token for token, name, *_ in tokens if name == user), namespace=namespace)

    def start_node(self) -> None:
        """A node that makes pods Ready, or whatever their annotation fake-kubelet/phase says."""
        with (self.folder / "log/node.log").open("wb") as log:
            self._node = subprocess.Popen(
                [sys.executable, self._tools / "fake_kubelet.py"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            )

    def stop_node(self) -> None:
        if self._node is not None:
            self._node.kill()
            self._node.wait(SECONDS)
            self._node = None

    def restart_api_server(self) -> None:
        """Kills it and starts it anew, on the same port, with what etcd has."""
        record = self.folder / "run/kube-apiserver.pid"
        pid = int(record.read_text())
        command = self._command("kube-apiserver")
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + SECONDS
        while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
            assert time.monotonic() < deadline, "the API server doesn't end"
            time.sleep(0.02)
        while True:
            with (self.folder / "log/kube-apiserver.log").open("ab") as log:
                server = subprocess.Popen(
                    command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            record.write_text(str(server.pid))
            # A connection to a port without a listener may have got that very port, and hold it for a moment.
            while not self._is_ready() and server.poll() is None:
                assert time.monotonic() < deadline, "the API server doesn't get ready"
                time.sleep(0.05)
            if server.poll() is None:
                break
        # It is stopped by its pid with all the others, so nobody waits for it here.
        server.returncode = 0
        # The node doesn't get over it.
        self.stop_node()
        self.start_node()

    def stop(self) -> None:
        self.stop_node()
        self._run(self._tools / "kube-down.sh", self.folder)

    def _is_ready(self) -> bool:
        content = yaml.safe_load(self.kubeconfig.read_text())
        token = content["users"][0]["user"]["token"]
        request = urllib.request.Request(  # noqa: S310 - of the control plane
            f"{self.url}/readyz", headers={"Authorization": f"Bearer {token}"}
        )
        context = ssl.create_default_context(cafile=str(self.folder / "pki/ca.crt"))
        try:
            with urllib.request.urlopen(request, timeout=5, context=context) as answer:  # noqa: S310
                return answer.status == 200
        except OSError:
            return False

    def _command(self, name: str) -> list[bytes]:
        pid = (self.folder / f"run/{name}.pid").read_text().strip()
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")

    def _run(self, *command: str | Path) -> str:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
