"""Floor 4: from images to vectors, norms and qualities."""
