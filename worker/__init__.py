"""The worker process: takes jobs from the queue, sends pushes and e-mails, and records the results."""
