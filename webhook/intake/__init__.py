"""From a signed body to applied effects: signature, parsing, events, effects, apply."""
