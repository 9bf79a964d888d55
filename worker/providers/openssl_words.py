"""Reads why OpenSSL refused a connection. Pure."""

import ssl


def openssl_words(error: BaseException) -> str:
    """Return OpenSSL's words in brackets, to append to a reason; empty if the error is not OpenSSL's.

    aiohttp raises another error, with OpenSSL's error in an attribute.
    """
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    if not isinstance(inner, ssl.SSLError):
        return ""
    words = inner.verify_message if isinstance(inner, ssl.SSLCertVerificationError) else inner.reason
    return f" ({words})" if words else ""
