"""What the planner draws on images: observers with their errors, and automatic segmentation of the cavity."""
