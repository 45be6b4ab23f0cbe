"""A TLS server that takes a request whole, and damages what it answers on its way."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

T = TypeVar("T")


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate of 127.0.0.1 and its key; return both files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate_file, key_file


@contextmanager
def damaging_server(certificate_file: Path, key_file: Path) -> Iterator[tuple[str, list[bytes]]]:
    """Take one connection; yield the URL, and the first lines of the requests that were received.

    Args:
        certificate_file: The server's certificate.
        key_file: Its key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    received: list[bytes] = []

    def serve() -> None:
        raw, _ = listening.accept()
        raw.settimeout(10)
        with raw:
            arriving, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(arriving, leaving, server_side=True)

            def until_done(step: Callable[[], T]) -> T:
                while True:
                    try:
                        result = step()
                    except ssl.SSLWantReadError:
                        raw.sendall(leaving.read())
                        data = raw.recv(65_536)
                        arriving.write(data) if data else arriving.write_eof()
                    else:
                        raw.sendall(leaving.read())
                        return result

            try:
                until_done(tls.do_handshake)
                received.append(until_done(lambda: tls.read(65_536)).split(b"\r\n")[0])
            except ssl.SSLError:
                return  # a client that does not trust us
            raw.sendall(b"\x17\x03\x03\x00\x20" + b"\x00" * 32)  # a record that no key fits

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listening.getsockname()[1]}", received
        finally:
            thread.join()
