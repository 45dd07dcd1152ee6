"""Segments become events: state, attribution, sessions, judgement, the loop, and the way out."""
