"""Where batches come from. Every source is endless and can be stopped and resumed anywhere."""
