"""Which beam is off, by how much: the difference of two doses as errors of single beams."""
