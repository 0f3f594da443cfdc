"""Compressing a set of images, decoding and measuring each: what predict and evaluate share."""
