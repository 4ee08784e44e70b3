"""Draws a made-up patient's radiographs for the demo set; imports numpy and OpenCV only."""
