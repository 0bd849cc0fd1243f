"""Other tools' dashboards, fed from our own record and never instead of it.

`feed` reads the record; one file a tool knows the tool.  Importing this package loads none of them.
"""
