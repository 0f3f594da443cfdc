"""Metrics of images and of sets of them; imports no other part of irec."""
