"""What people see: figure data, figures, tables and the page."""
