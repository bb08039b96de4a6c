"""A real control plane for tests: kube-apiserver by its Go module (tests/server/apiserver), and etcd (Debian's etcd-server)."""

import hashlib
import os
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from real_registries import certificate, written

TOKEN = "admin-of-the-test"
PATIENCE = 600
VERSION, PACKAGE = "v1.34.4", "k8s.io/component-base/version"
SOURCE = Path(__file__).parent / "server/apiserver"


def apiserver():
    """Build kube-apiserver, which takes minutes the first time, and keep the program by what it is built from."""
    told = hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in ("go.mod", "go.sum", "main.go")))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cosinspect-judges"
    program = cache / f"kube-apiserver-{told.hexdigest()[:16]}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        made = program.with_suffix(".new")
        flags = f"-ldflags=-s -w -X {PACKAGE}.gitVersion={VERSION} -X {PACKAGE}.gitMajor=1 -X {PACKAGE}.gitMinor=34"
        subprocess.run(["go", "build", flags, "-o", made, "."], cwd=SOURCE, check=True)
        made.replace(program)
    return program


def address():
    """Return an address of this machine that is not its loopback: endpoints of services must have one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]


class Cluster:
    """A control plane that runs.

    Attributes:
        url: of the API server.
        kubeconfig: for kubectl.
    """

    def __init__(self, url, directory):
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False  # a bundle of the environment would go before the next line
        self._session.verify = str(directory / "apiserver.pem")
        self._session.headers["Authorization"] = f"Bearer {TOKEN}"
        self.kubeconfig = directory / "kubeconfig"
        self.kubeconfig.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
            f"clusters: [{{name: c, cluster: {{server: '{url}', certificate-authority: '{directory}/apiserver.pem'}}}}]\n"
            f"users: [{{name: u, user: {{token: {TOKEN}}}}}]\n"
            "contexts: [{name: c, context: {cluster: c, user: u}}]\n"
        )

    def ask(self, method, path, document=None, **options):
        """Send a request to the API server."""
        return self._session.request(method, f"{self.url}{path}", json=document, timeout=600, **options)

    def kubectl(self, *arguments, text=None):
        """Run kubectl, and return what it prints."""
        done = subprocess.run(
            ["kubectl", "--kubeconfig", self.kubeconfig, *arguments],
            input=text,
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def _process(command, log):
    with log.open("ab") as stream:
        process = subprocess.Popen([str(each) for each in command], stdout=stream, stderr=stream)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def cluster(directory):
    """Run etcd and the API server while the block runs."""
    key = rsa.generate_private_key(65537, 2048)
    pem = serialization.Encoding.PEM
    (directory / "sa.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (directory / "sa.pub").write_bytes(
        key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (directory / "tokens.csv").write_text(f'{TOKEN},admin,1,"system:masters"\n')
    tls_key, chain = written(directory, "apiserver", certificate("localhost"))
    client, peer, port = (_free_port() for _ in range(3))
    etcd = f"http://127.0.0.1:{client}"
    with ExitStack() as stack:
        stack.enter_context(
            _process(
                [
                    *("etcd", "--data-dir", directory / "etcd", "--unsafe-no-fsync"),
                    *("--listen-client-urls", etcd, "--advertise-client-urls", etcd),
                    *("--listen-peer-urls", f"http://127.0.0.1:{peer}"),
                ],
                directory / "etcd.log",
            )
        )
        process = stack.enter_context(
            _process(
                [
                    *(apiserver(), "--etcd-servers", etcd, "--tls-cert-file", chain),
                    *("--tls-private-key-file", tls_key),
                    *("--bind-address", "127.0.0.1", "--secure-port", port),
                    *("--advertise-address", address(), "--service-cluster-ip-range", "10.0.0.0/24"),
                    *("--token-auth-file", directory / "tokens.csv", "--authorization-mode", "RBAC"),
                    *("--service-account-issuer", "https://cluster.test"),
                    *("--service-account-key-file", directory / "sa.pub"),
                    *("--service-account-signing-key-file", directory / "sa.key"),
                    # Debian's etcd (3.4) tells no progress of watches, which the cache of watches and its statistics wait for.
                    *("--watch-cache=false", "--feature-gates=SizeBasedListCostEstimate=false"),
                    # Nobody makes service accounts here, and services are reached by their endpoints.
                    *("--disable-admission-plugins", "ServiceAccount", "--enable-aggregator-routing"),
                ],
                directory / "apiserver.log",
            )
        )
        found = Cluster(f"https://localhost:{port}", directory)
        end = time.monotonic() + PATIENCE
        while True:
            assert process.poll() is None, (directory / "apiserver.log").read_text()[-4000:]
            assert time.monotonic() < end, (directory / "apiserver.log").read_text()[-4000:]
            try:
                if found.ask("GET", "/readyz").ok:
                    break
            except requests.RequestException:
                pass
            time.sleep(0.3)
        yield found
