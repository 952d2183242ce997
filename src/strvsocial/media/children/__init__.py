"""Programs that run inside the sandbox. Each file stands alone: it is started by its path and imports nothing of ours."""
