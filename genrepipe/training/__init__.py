"""The wing that needs torch: nothing in it is imported on the scoring path."""
