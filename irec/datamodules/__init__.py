"""LightningDataModules: CIFAR-10, any image folder or .npy array, the bundled samples."""
