"""Patient folder to model and back: CT, RTSTRUCT, RTPLAN and RTDOSE (the only user of pydicom)."""
