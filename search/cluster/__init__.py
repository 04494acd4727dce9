"""Ray: joining or starting a cluster, and running trials on it."""
