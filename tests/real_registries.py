"""Debian's docker-registry and nginx on free ports of this machine, for tests that want to meet real servers."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from attrs import define, field
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from registry_client import gone


def program(*names):
    """Give the path of a server, of whatever name Debian and others call it."""
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin"))
    found = next(filter(None, (shutil.which(name, path=places) for name in names)), None)
    if not found:
        pytest.skip(f"{names[0]} is not installed")
    return found


@contextlib.contextmanager
def running(command, address):
    """Run a server until the block ends, which begins when it takes connections."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 600
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(address.split(":"), timeout=1):
                break
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=600)


@contextlib.contextmanager
def docker_registry(tmp_path, *, users=None, auth=None, tls=None, address=None):
    """Debian's docker-registry.

    Args:
        tmp_path: where its storage and configuration are.
        users: an htpasswd file's content.
        auth: its `auth` section, where it is another one.
        tls: its `tls` section.
        address: where it listens; a free port by default.
    """
    server = program("docker-registry", "registry")
    address = address or gone()
    config = {
        "version": "0.1",
        "log": {"accesslog": {"disabled": True}, "level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": address, **({"tls": tls} if tls else {})},
    }
    if users:
        (tmp_path / "htpasswd").write_text(users)
        auth = {"htpasswd": {"realm": "a realm, quoted", "path": str(tmp_path / "htpasswd")}}
    if auth:
        config["auth"] = auth
    settings = tmp_path / f"registry-{address.rpartition(':')[2]}.yml"
    settings.write_text(json.dumps(config))  # JSON is YAML
    with running([server, "serve", str(settings)], address):
        yield address


@contextlib.contextmanager
def nginx(tmp_path, servers, address):
    """Nginx with these `server` blocks, one of which listens at the address."""
    server = program("nginx")
    temporary = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = f"""
        {"user root;" if os.geteuid() == 0 else ""}
        pid {tmp_path}/nginx.pid; error_log {tmp_path}/nginx-error.log; daemon off; worker_processes 1;
        events {{ worker_connections 64; }}
        http {{ access_log off; {temporary} {servers} }}
    """
    (tmp_path / "nginx.conf").write_text(config)
    with running([server, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")], address):
        yield


def push(base, image, repository, tag, *, auth=None, verify=True):
    """Do as little of distribution-spec's push as it takes; `base` is an address, or a URL where it is not plain."""
    base = base if "://" in base else f"http://{base}"
    with requests.Session() as session:
        session.auth, session.verify, session.trust_env = auth, verify, False
        for digest, data in image.blobs.items():
            if digest not in image.manifests:
                upload = session.post(f"{base}/v2/{repository}/blobs/uploads/", timeout=600)
                separator = "&" if "?" in upload.headers["Location"] else "?"
                url = f"{upload.headers['Location']}{separator}digest={digest}"
                assert session.put(url, data=data, timeout=600).status_code == 201
        for name in (image.digest, tag):
            answer = session.put(
                f"{base}/v2/{repository}/manifests/{name}",
                data=image.blobs[image.digest],
                headers={"Content-Type": image.media_type},
                timeout=600,
            )
            assert answer.status_code == 201


def certificate(name, *, issuer=None, authority=False):
    """Make a key and its certificate for a host or an authority, signed by `issuer`, a pair as this one, or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, signed_by = (issuer[0], issuer[1].subject) if issuer else (key, subject)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signed_by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if not authority:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return key, builder.sign(signer, hashes.SHA256())


def written(directory, name, pair):
    """Write a key and its certificate as PEM and give both paths."""
    key, chain = directory / f"{name}-key.pem", directory / f"{name}.pem"
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    key.write_bytes(pair[0].private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    chain.write_bytes(pair[1].public_bytes(pem))
    return key, chain


@define
class TokenServer:
    """Gives tokens as distribution's token specification has them (docs/spec/auth/jwt.md), signed by ES256.

    Attributes:
        users: passwords by name; nobody else gets a token.
        signer: the key and certificate that sign; can be exchanged while it serves.
        seconds: what it says of a token's life.
        requests: the queries and `Authorization` values of all requests so far.
    """

    users: dict
    signer: tuple = field(factory=lambda: certificate("tokens.test", authority=True))
    seconds: int = 300
    requests: list = field(factory=list)
    realm: str = ""

    @contextlib.contextmanager
    def serving(self):
        """Serve until the block ends."""
        tokens = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                query = parse_qs(urlsplit(self.path).query)
                given = self.headers.get("Authorization", "")
                tokens.requests.append((query, given))
                status, document = tokens.answer(query, given)
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
            self.realm = f"http://127.0.0.1:{server.server_port}/token"
            try:
                yield self
            finally:
                server.shutdown()

    def section(self, directory):
        """Give the registry's `auth` section that trusts this server as it signs now."""
        _, chain = written(directory, f"tokens-{self.signer[1].serial_number}", self.signer)
        return {
            "token": {
                "realm": self.realm,
                "service": "registry.test",
                "issuer": "tokens.test",
                "rootcertbundle": str(chain),
            }
        }

    def answer(self, query, given):
        """Give the status and document for a request."""
        name, _, password = base64.b64decode(given.partition(" ")[2]).decode().partition(":")
        if self.users.get(name) != password:
            return 401, {"errors": [{"code": "UNAUTHORIZED", "message": "no such user"}]}
        access = []
        for scope in " ".join(query.get("scope", [])).split():
            kind, _, rest = scope.partition(":")
            repository, _, actions = rest.rpartition(":")
            access.append({"type": kind, "name": repository, "actions": actions.split(",")})
        return 200, {"token": self.token(name, access), "expires_in": self.seconds}

    def token(self, subject, access):
        """Sign a token."""
        now = int(time.time())
        key, chain = self.signer
        der = chain.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "ES256", "x5c": [base64.b64encode(der).decode()]}
        claims = {
            "iss": "tokens.test", "sub": subject, "aud": "registry.test", "exp": now + 300, "nbf": now - 10, "iat": now,
            "jti": f"{now}-{len(self.requests)}", "access": access,
        }  # fmt: skip
        signed = b".".join(map(_segment, (json.dumps(header).encode(), json.dumps(claims).encode())))
        pair = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
        signature = b"".join(number.to_bytes(32, "big") for number in pair)
        return b".".join((signed, _segment(signature))).decode()


def _segment(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")
