"""Gemini: vectors and answers. ``rest`` is the default, ``generativeai`` the second client."""
