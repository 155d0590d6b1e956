"""What runs on a cluster, for people: `deisa-info --status`, which runs this package with Ray's Python."""
