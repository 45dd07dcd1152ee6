"""Blocks in force in the forms that routers, firewalls and name servers read. One file a form.

Each has ``render(blocks, ts, own)``: blocks in force at ``ts`` (ns since 1970), and the provider's
own mail servers, to which even a blocked subscriber may speak.
"""
