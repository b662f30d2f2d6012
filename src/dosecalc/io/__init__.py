"""Files: DICOM, and doses of other programs."""
