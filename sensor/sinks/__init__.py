"""What alerts are passed on to, and the forms they take there."""
