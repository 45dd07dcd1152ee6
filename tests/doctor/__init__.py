"""Each check, against what it is for."""
