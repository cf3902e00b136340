"""File formats: NIfTI and DICOM in and out. The only place that knows them, and the only place that knows RAS."""
