"""From a repository with tests to validated tasks.  Start with `pipeline.mine`."""
