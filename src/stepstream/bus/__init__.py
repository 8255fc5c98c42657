"""Who hears of a commit now."""
