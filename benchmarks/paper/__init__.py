"""The protocol of arXiv 2512.13197 on simulated data sets of the same shapes."""
