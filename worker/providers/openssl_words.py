"""What OpenSSL says about a connection that it refuses. Pure."""

import ssl


def openssl_words(error: BaseException) -> str:
    """Return OpenSSL's own words in brackets, to put after a reason; empty if the error is not OpenSSL's.

    aiohttp keeps OpenSSL's error in a field of its own.
    """
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    if not isinstance(inner, ssl.SSLError):
        return ""
    words = inner.verify_message if isinstance(inner, ssl.SSLCertVerificationError) else inner.reason
    return f" ({words})" if words else ""
