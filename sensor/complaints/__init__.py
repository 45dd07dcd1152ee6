"""What others say of subscribers: reports of abuse, and lists they are on. Shown beside alerts."""
