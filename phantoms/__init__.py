"""Phantom and case recipes."""
