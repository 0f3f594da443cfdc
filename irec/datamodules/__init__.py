"""LightningDataModules: published sets, any image folder or .npy array, the bundled samples."""
