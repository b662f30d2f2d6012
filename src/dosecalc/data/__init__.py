"""Physical data, loaded and checked."""
