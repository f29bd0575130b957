"""How a preference is learned and read out: one class a scenario, registered in ``registry``."""
