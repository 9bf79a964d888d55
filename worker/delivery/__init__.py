"""From a planned push to its outcome: the fence, the lanes, the attempts, and what they teach about tokens."""
