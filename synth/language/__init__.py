"""Texts as such: their characters, numbers, dates, formulas and final answers."""
