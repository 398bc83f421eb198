"""The pure core: no I/O, no clock, no chance, no log. It decides; everything else acts."""
