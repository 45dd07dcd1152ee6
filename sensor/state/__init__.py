"""What a state folder holds."""
