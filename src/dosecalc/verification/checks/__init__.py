"""The checks of a verification; each looks at one thing and says what it found."""
