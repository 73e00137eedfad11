"""Workers on an engine, which runs each as a job on a node. The database gives them trials, the fleet replaces them."""
