"""Reads the private keys that Apple and Google give out, in PEM."""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def read_pem_key(pem: bytes) -> PrivateKeyTypes | None:
    """Return the key; None if it cannot be read, or has a password. The numbers of an RSA key are not checked."""
    try:
        return load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it has a password
        return None
