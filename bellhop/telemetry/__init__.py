"""What Bellhop tells its operators: log lines, metrics, traces, and each worker's status."""
