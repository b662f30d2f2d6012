"""What the program has to say of a plan: messages, as codes with values, and findings."""
