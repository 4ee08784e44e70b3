"""After deployment: every answer on record, drift against a reference, corrections; imports all up to inference."""
