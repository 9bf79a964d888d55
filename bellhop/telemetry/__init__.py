"""What operators see of Bellhop: log lines, metrics and traces."""
