"""Records core cases again from real servers, in network namespaces of its own."""
