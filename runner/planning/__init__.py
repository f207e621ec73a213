"""What will be done with a payload, decided before anything is done. Pure."""
