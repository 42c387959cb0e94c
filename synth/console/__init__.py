"""What the commands show, one file each: calm tables in a terminal, plain lines elsewhere, JSON where asked."""
