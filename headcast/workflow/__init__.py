"""Beside Snakemake while it plans and leads: what to build, what it depends on, what it takes, what failed. No science."""
