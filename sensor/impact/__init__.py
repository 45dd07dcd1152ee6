"""Who would be hit if foreign port 25 were closed: what each subscriber used it for."""
