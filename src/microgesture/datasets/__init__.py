"""One file per dataset, and how its clips become batches."""
