"""What decision records measured; each script prints one table."""
