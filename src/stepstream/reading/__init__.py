"""What people ask of a history."""
