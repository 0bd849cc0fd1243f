"""What runs a project's test suite inside a sandbox.  `boot.py` is started by its path, with the
interpreter of the project; of this package, only `frames` is for the trusted side."""
