"""The domain half of `stepstream demo`: a team designs a wall bracket, with real sizes and stresses."""
