"""The report: table of cells, claims, tables, figures and the page that shows them."""
