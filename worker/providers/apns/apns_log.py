"""What is logged about the connections to Apple."""

import structlog

from worker.providers.http2.connection_log import ConnectionLog

log = structlog.get_logger()


class ApnsLog(ConnectionLog):
    """Logs everything that happens to a connection."""

    peer = "Apple"

    def opened(self, host: str) -> None:
        """A connection can be used."""
        log.info("apns_connected", host=host)

    def failed(self, host: str, error: str) -> None:
        """No connection could be opened."""
        log.warning("apns_connect_failed", host=host, error=error)

    def ends(self, code: str, reason: str, in_flight: int) -> None:
        """Apple closes a connection, and answers the requests in flight before."""
        log.info("apns_connection_ends", code=code, reason=reason, in_flight=in_flight)

    def lost(self, error: str) -> None:
        """A connection broke, or was closed without notice."""
        log.info("apns_connection_lost", error=error)

    def aborted(self, why: str, in_flight: int) -> None:
        """A connection was given up."""
        log.warning("apns_connection_aborted", why=why, in_flight=in_flight)
