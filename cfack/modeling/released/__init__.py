"""Files of the released codes, CFACK and X²-VLM: what is in them and the geometry behind it."""
