"""What a mixer has to keep, whoever wrote it: laws, and the mixers that are held to them."""
