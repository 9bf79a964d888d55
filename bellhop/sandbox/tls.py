"""A temporary certificate authority, so that the stand-ins use TLS as the real servers do."""

import datetime as dt
import ssl
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

LIFE = dt.timedelta(days=7)
MAY_SIGN_CERTIFICATES = x509.KeyUsage(
    key_cert_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


class Authority:
    """A CA in `folder`, with one certificate for localhost and 127.0.0.1. Clients must trust `ca_file`."""

    def __init__(self, folder: Path) -> None:
        self.ca_file = folder / "ca.pem"
        self.server_file = folder / "server.pem"
        """The server's certificate and its private key."""
        ca_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        ca_name = _name("Bellhop sandbox CA")
        ca = (
            _certificate(ca_name, ca_key, ca_name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
            .add_extension(MAY_SIGN_CERTIFICATES, critical=True)  # Python 3.13 checks for it
            .sign(ca_key, hashes.SHA256())
        )
        server = (
            _certificate(_name("localhost"), server_key, ca_name)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()),
                critical=False,
            )
            .sign(ca_key, hashes.SHA256())
        )
        self.ca_file.write_bytes(ca.public_bytes(Encoding.PEM))
        _write_private(self.server_file, server_key, server)
        self._name, self._key = ca_name, ca_key

    def client_certificate(self, common_name: str) -> Path:
        """Make a client certificate that our servers accept, in one file with its private key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(_name(common_name), key, self._name).sign(self._key, hashes.SHA256())
        path = self.ca_file.with_name(f"{common_name}.pem")
        _write_private(path, key, certificate)
        return path

    def server_context(self, *alpn: str) -> ssl.SSLContext:
        """Return the TLS context of a server. `alpn` names the protocols that it offers, for example "h2"."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_file)
        if alpn:
            context.set_alpn_protocols(alpn)
        return context


def _write_private(path: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(subject: x509.Name, key: ec.EllipticCurvePrivateKey, issuer: x509.Name) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + LIFE)
    )
