"""Factored models of any family: one conditional density a column and an indicator, over the same unseen values."""
