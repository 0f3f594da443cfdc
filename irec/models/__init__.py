"""Networks, likelihoods and checkpoints; knows no file format of irec's and no Lightning."""
