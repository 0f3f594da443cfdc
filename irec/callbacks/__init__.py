"""Lightning callbacks: writing compressed files and their table, saving the resolved config."""
