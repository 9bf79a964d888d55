"""The concurrent RQ worker: takes jobs, runs them, and takes over from workers that died."""
