"""One run on disk: its folder, record, checkpoints, pictures and the line that tells how it goes."""
