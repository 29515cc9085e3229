"""A TLS server in front of a Redis, which the wheel of Valkey is built without, with a certificate to choose."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import urlencode

# Days until the certificate ends, and whether the client trusts its authority.
CERTIFICATES = {"valid": (1, True), "expired": (-1, True), "of an unknown authority": (1, False)}


def make_certificate(folder: Path, days: int) -> tuple[Path, Path]:
    """Return the files of a self-signed certificate for 127.0.0.1 and of its key.

    Args:
        folder: for the files.
        days: until it ends.
    """
    certificate, key, request = (folder / name for name in ("cert.pem", "key.pem", "request.pem"))
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    name = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    # Only the second of these two commands makes a certificate that has ended.
    for command in (
        ("req", "-new", *curve, *name, "-keyout", key, "-out", request),
        ("x509", "-req", "-in", request, "-signkey", key, "-days", str(days), "-copy_extensions", "copy", "-out", certificate),
    ):  # fmt: skip
        subprocess.run(("openssl", *command), check=True, capture_output=True)
    return certificate, key


class Front(BaseRequestHandler):
    """Passes on what a client and Redis say."""

    def handle(self) -> None:
        """Serve a connection until one side ends it."""
        with socket.socket(socket.AF_UNIX) as redis:
            redis.connect(self.server.redis_path)  # type: ignore[attr-defined]
            threading.Thread(target=self.copy, args=(redis, self.request), daemon=True).start()
            self.copy(self.request, redis)

    @staticmethod
    def copy(source: socket.socket, target: socket.socket) -> None:
        """Copy all bytes of a connection to another one."""
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)


class TLSServer(ThreadingTCPServer):
    """Accepts TLS connections only."""

    daemon_threads = True

    def __init__(self, redis_path: str, certificate: Path, key: Path) -> None:
        super().__init__(("127.0.0.1", 0), Front)
        self.redis_path = redis_path
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)

    def get_request(self) -> tuple[socket.socket, object]:
        """Return a connection after its handshake; a client that refuses the certificate is no request."""
        connection, address = super().get_request()
        return self.context.wrap_socket(connection, server_side=True), address


@contextmanager
def redis_with(certificate: str, redis_path: str, folder: Path) -> Iterator[str]:
    """Serve a Redis by TLS; give its URL.

    Args:
        certificate: one of CERTIFICATES.
        redis_path: the Unix socket of the Redis.
        folder: for the certificate.
    """
    days, trusted = CERTIFICATES[certificate]
    path, key = make_certificate(folder, days)
    options = {"ssl_cert_reqs": "required"} | ({"ssl_ca_certs": str(path)} if trusted else {})
    with TLSServer(redis_path, path, key) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"rediss://127.0.0.1:{server.server_address[1]}/0?{urlencode(options)}"
        server.shutdown()
