"""Declarations: a data model and the beliefs about its holes, as frozen values."""
