"""The shipped reference cases, and how well a dose agrees with them."""
