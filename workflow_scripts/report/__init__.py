"""The report: the table of cells, claims, tables, figures, and the pages that show them."""
