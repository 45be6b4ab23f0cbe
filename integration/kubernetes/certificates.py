"""The certificates of a cluster that lives as long as a test run: one authority, and what it signs."""

import base64
import datetime
import ipaddress
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_AUTHORITY = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
_LIFETIME = datetime.timedelta(days=30)
# Clocks of one machine agree; a certificate of this very second is still refused by some.
_BACKDATED = datetime.timedelta(hours=1)


class Authority:
    """Signs for one cluster; its files are in ``directory`` (mode 0700).

    Args:
        directory: Where keys and certificates stand; made, with a new authority, where it has none.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.certificate_file = directory / "ca.crt"
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(
            key_cert_sign=True,
            crl_sign=True,
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            self._builder(_AUTHORITY, self._key.public_key(), _LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def serving(self, name: str, *, addresses: tuple[str, ...], names: tuple[str, ...]) -> tuple[Path, Path]:
        """Sign a server's certificate; return the files of certificate and key."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = [
            *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
            *(x509.DNSName(one) for one in names),
        ]
        certificate = (
            self._builder(_subject(name), key.public_key(), _LIFETIME)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        certificate_file, key_file = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
        _write_private(key_file, _pem(key))
        return certificate_file, key_file

    def client(
        self, user: str, *, groups: tuple[str, ...] = (), lifetime: datetime.timedelta = _LIFETIME
    ) -> dict[str, str]:
        """Sign a client's certificate; return a kubeconfig's user entry with it.

        Args:
            user: The name that the API server sees.
            groups: Its groups.
            lifetime: From now; a negative one has passed.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(_subject(user, groups), key.public_key(), lifetime)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return {
            "client-certificate-data": _base64(certificate.public_bytes(Encoding.PEM)),
            "client-key-data": _base64(_pem(key)),
        }

    def service_account_keys(self) -> tuple[Path, Path]:
        """Make the key pair that service accounts' tokens are signed with; return public and private file."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public, private = self._directory / "service-accounts.pub", self._directory / "service-accounts.key"
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        _write_private(private, _pem(key))
        return public, private

    def _builder(
        self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey, lifetime: datetime.timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        ends = now + lifetime
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(_AUTHORITY)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, ends) - _BACKDATED)
            .not_valid_after(ends)
        )


def write_kubeconfig(file: Path, *, server: str, authority: bytes, user: dict[str, str]) -> None:
    """Write a kubeconfig of one cluster and one user, readable by nobody else.

    Args:
        file: Where.
        server: The API server's URL.
        authority: The certificate that it is known by, as PEM.
        user: The user entry: a certificate or a token.
    """
    cluster = {"server": server, "certificate-authority-data": _base64(authority)}
    context = {"cluster": "test", "user": "test", "namespace": "default"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": context}],
        "current-context": "test",
    }
    _write_private(file, yaml.safe_dump(content).encode())


def _subject(user: str, groups: tuple[str, ...] = ()) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def _write_private(file: Path, content: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(content)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
