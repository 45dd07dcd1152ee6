"""Programs that throw mutated input at a stage for as long as one likes."""
