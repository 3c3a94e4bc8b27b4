"""Demonstrations on disk: readers (one file per format), the LeRobot writer, the frame cache, and batches gathered by index."""
