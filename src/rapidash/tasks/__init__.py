"""Tasks: a dataset, the network's inputs and outputs, a loss and a metric. One file per task."""
