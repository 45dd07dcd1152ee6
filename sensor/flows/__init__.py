"""Flow records as a poorer sensor: what exporters say of connections, taken to segments."""
