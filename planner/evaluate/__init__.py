"""What a dose means: DVH metrics, plan quality, margin coverage."""
