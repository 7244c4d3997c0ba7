//! CIFAR-10: official binary and python archives, and class folders of pictures.
