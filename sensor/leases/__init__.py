"""Where leases are heard of: a source is one file against one protocol or format."""
