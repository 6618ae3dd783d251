"""Faithful local servers for the services behind the ports."""
