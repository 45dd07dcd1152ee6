"""Whose an address is, and from when until when: the customers behind the addresses."""
