"""A soak: rings at a fixed rate, a fault every two seconds, and a comparison of what phones got with what was told."""
