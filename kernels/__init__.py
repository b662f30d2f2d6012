"""Physical data of the package, read as package resources, and the recipes that made it."""
