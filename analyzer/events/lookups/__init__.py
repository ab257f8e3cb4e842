"""Questions that are asked before a connection: for the addresses of a name, for the link address of a neighbour."""
