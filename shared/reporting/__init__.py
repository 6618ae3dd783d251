"""What readers ask and the documentation does not answer, for those who write it."""
