"""From a round to the outcome of each push: fan-out, claims, channels to the providers, attempts, token pruning."""
