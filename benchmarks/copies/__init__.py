"""How fast captures become audio files."""
