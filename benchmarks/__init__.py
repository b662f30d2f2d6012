"""Benchmarks: how long the engine and its stages take, against what the machine can do."""
