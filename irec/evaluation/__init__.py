"""What compressed files are measured against."""
