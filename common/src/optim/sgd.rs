//! SGD with momentum, as the AlexNet paper writes it and as PyTorch does.
