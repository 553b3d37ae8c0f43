"""From what a submission answered to what its author may have thought: known mistakes, and differences described."""
