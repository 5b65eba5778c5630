"""The documents of `verify`, `audit`, access changes and `mutate --run`."""
