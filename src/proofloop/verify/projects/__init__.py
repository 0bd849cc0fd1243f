"""Tests of whole projects.  Start with `verdicts.verify_project`."""
