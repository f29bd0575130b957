"""What a GPU makes of the trainings: speed, memory, precision, and the same bytes again."""
