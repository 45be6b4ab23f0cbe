"""The writes the product can make to outside systems, each declared once, by system."""
