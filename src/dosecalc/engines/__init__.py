"""Dose engines: phantom and fluence to dose."""
