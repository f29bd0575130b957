"""How a student is supervised: one class a kind, registered in ``registry``."""
