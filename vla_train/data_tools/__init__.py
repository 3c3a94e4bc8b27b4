"""The work of ``vla-data``: look at recorded data, check, convert, show and replay them."""
