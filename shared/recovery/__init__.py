"""Recovery points: made, kept, verified, restored, rehearsed."""
