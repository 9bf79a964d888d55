"""Webhooks that arrive by Amazon SNS or SQS."""
