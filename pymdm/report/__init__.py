"""Tables, pages and figures in one style, for every command that reports: text to a terminal, Markdown, and HTML."""
