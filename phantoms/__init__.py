"""The patient as data: grids, volumes, structures and epochs, and the synthetic generators that fill them."""
