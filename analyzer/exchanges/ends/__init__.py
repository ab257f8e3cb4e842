"""Several views of the same packets: captures of two ends, interfaces before and after a bridge or a translation."""
