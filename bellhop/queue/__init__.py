"""What web and worker share of the queue: names, payloads, and jobs as RQ stores them."""
