"""The jobs: from a request to a dose, a verification, a record; for commands and scripts alike."""
