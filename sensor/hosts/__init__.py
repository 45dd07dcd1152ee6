"""Who the subscribers are, and the evidence kept for each."""
