"""Networks, one file a published architecture, and the loading of their weights."""
