"""Any dose: gamma, histograms, metrics, differences; no verdict."""
