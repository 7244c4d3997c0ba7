//! Class folders of pictures.
