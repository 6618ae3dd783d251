"""A site over HTTPS, read so that no page can send the reader into a private network."""
