"""Models: loading and saving them, tokenising texts, scoring pairs."""
