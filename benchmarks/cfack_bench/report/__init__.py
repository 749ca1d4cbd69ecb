"""Results for people: terminal, Markdown, CSV, one HTML page, plots, the README's table."""
