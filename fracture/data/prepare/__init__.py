"""From folders, archives and tables to a manifest with groups and splits."""
