"""From what people have to batches on the device; imports only errors, config, files and progress."""
