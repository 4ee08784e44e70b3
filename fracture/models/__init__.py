"""Backbones, their weights and saved models; imports data and what data may import."""
