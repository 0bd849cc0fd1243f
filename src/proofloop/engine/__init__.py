"""Engines: whatever generates.  Importing this package loads no torch; its modules do."""
