"""What people see: figures, tables and pages."""
