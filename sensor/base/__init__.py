"""The ground floor: what every stage stands on, and what knows of none."""
