"""Whoever imports it has Schemathesis send mail where the API takes some."""

import schemathesis


@schemathesis.serializer("message/rfc822")
def mail(_context, value):
    """What was made up, as the bytes of a mail."""
    return value if isinstance(value, bytes) else str(value).encode()
