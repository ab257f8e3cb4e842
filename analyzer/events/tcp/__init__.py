"""TCP as an observer sees it."""
