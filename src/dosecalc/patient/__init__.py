"""From CT, structures or a recipe to the phantom that the dose is calculated in."""
