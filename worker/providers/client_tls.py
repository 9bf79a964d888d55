"""The TLS contexts for connections to providers. Apps share them: each store of CAs takes 50 ms and 1 MB."""

import ssl
from functools import cache
from pathlib import Path


@cache
def client_tls(
    ca_file: Path | None, certificate_file: Path | None = None, alpn: tuple[str, ...] = ()
) -> ssl.SSLContext:
    """Return the context that trusts the CAs of `ca_file`, or the system's. It is made when it is first needed.

    `certificate_file` has the client's certificate and its private key, as PEM. Raises OSError for unreadable files.
    """
    context = ssl.create_default_context(cafile=ca_file)
    if alpn:
        context.set_alpn_protocols(alpn)
    if certificate_file is not None:
        context.load_cert_chain(certificate_file)
    return context


def check_files(ca_file: Path | None, certificate_file: Path | None = None) -> None:
    """Raise OSError for a file that `client_tls` could not load. The system's CAs are not loaded."""
    if ca_file is not None:
        client_tls(ca_file)
    if certificate_file is not None:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate_file)
