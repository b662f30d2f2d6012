"""What the program has to say of a plan: findings."""
