"""Blocks carried out by RADIUS: CoA and Disconnect requests to who has the customer's session.

settings      which NASes there are, and what a block is there
sessions      who has which session, by RADIUS accounting
request       packets of RFC 5176 and their answers
exchange      requests on their way to one NAS
enforcing     what is in force becomes requests, and answers become what a person is told
"""
