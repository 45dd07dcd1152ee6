"""How leases are told: files, and sources, each one file against one protocol or format."""
