"""What a whole matrix of cells costs: this workflow, and a script a cell in the paper's way."""
