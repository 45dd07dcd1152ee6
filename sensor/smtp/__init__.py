"""Connections to watched ports: who opened them, and what became of them."""
