"""Sources of problems: one file or package a task family or data set."""
