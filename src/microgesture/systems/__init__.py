"""One file per published system; `catalogue` lists them without importing torch."""
