"""A Docusaurus site that is built for real, in two states."""
