"""Who may do what: tokens, browser sessions, and the guard in front of every route."""
