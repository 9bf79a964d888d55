"""What is logged about the connections to a provider."""


class ConnectionLog:
    """Logs nothing. A provider's own class overrides what its operators need to know."""

    peer = "the peer"
    """The provider, in the reasons of failed requests."""

    def opened(self, host: str) -> None:
        """A connection can be used."""

    def failed(self, host: str, error: str) -> None:
        """No connection could be opened."""

    def ends(self, code: str, reason: str, in_flight: int) -> None:
        """The provider closes a connection, and answers the requests in flight before."""

    def lost(self, error: str) -> None:
        """A connection broke, or was closed without notice."""

    def aborted(self, why: str, in_flight: int) -> None:
        """A connection was given up."""


NO_LOG = ConnectionLog()
