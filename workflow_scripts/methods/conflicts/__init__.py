"""How a competing goal enters a student's training: one class a kind, see ``registry``."""
