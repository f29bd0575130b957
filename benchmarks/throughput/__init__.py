"""How many pairs a second a training takes: this workflow's, TRL's and the paper's loop."""
