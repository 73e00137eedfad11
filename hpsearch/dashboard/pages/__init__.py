"""Our pages, as HTML: each module makes one. They have the report's look."""
