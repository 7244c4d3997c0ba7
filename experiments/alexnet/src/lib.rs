//! AlexNet (Krizhevsky, Sutskever & Hinton 2012): models, training, studies, figures.
#![warn(missing_docs)]
