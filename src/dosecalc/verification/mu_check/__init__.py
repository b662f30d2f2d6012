"""The independent check of monitor units from tables (AAPM TG-114)."""
