"""LightningModules: objective, optimiser, logging, and the compression loop."""
